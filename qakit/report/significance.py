"""Whether a change helps beyond chance: the paired sign-flip test, and Holm's correction where many are tried.

Two systems that are equally good might as well have each other's figure on any question. So every sign of a difference
is as likely as the other, and the p-value is the share of all ways to give signs whose sum is at least as far from 0 as
the one that was seen (Fisher, "The Design of Experiments", 1935; Noreen, "Computer-Intensive Methods for Testing
Hypotheses", 1989; for language processing: Dror et al., "The Hitchhiker's Guide to Testing Statistical Significance in
Natural Language Processing", ACL 2018). A bootstrap is no such test where few answers change: of k changes that are all
better, about e^-k of its resamples hold none, while chance makes all k better in 2^-k of all cases.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from qakit.randomness import derive_seed
from qakit.report.bootstrap import CHUNK, DECIMALS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT = 2**20
"""Sums that are told apart at most; with more, signs are drawn. 20 changed questions never have more."""
_ROUNDING = 1e-9
"""Of the sum of all sizes: what the order of adding may change."""

Test = TypeVar("Test", bound=Hashable)


def sign_flips(first: Sequence[float], second: Sequence[float], *, seed: int, draws: int) -> float:
    """The two-sided p-value that two systems differ; one figure for each question, the same questions in order.

    Exact where the differences have few sizes (as with figures of 0 and 100) or are few; else from ``draws`` draws of
    the signs, the seen ones among them. 1 where nothing differs.
    """
    import numpy as np

    differences = np.round(np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64), DECIMALS)
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    far = abs(differences.sum()) - _ROUNDING * float(sizes @ counts)
    if np.prod(counts + 1.0) <= EXACT:
        sums, shares = _all_sums(sizes, counts)
        return min(1.0, float(shares[np.abs(sums) >= far].sum()))
    generator = np.random.default_rng(derive_seed(seed, "sign flips"))
    rows = max(1, CHUNK // len(sizes))
    hits = 1  # the signs as they are
    for start in range(0, draws, rows):
        ups = generator.binomial(counts, 0.5, size=(min(rows, draws - start), len(sizes)))
        hits += int((np.abs((2 * ups - counts) @ sizes) >= far).sum())
    return hits / (draws + 1)


def holm(p_values: Mapping[Test, float]) -> dict[Test, float]:
    """The p-values of several tests, corrected so that the chance of any false finding is that of one test.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    corrected: dict[Test, float] = {}
    least = 0.0
    for rank, test in enumerate(sorted(p_values, key=lambda test: p_values[test])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[test]))
        corrected[test] = least
    return corrected


def _all_sums(sizes: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every sum that signs can give, and how likely it is: two (S,) with S the product of ``counts + 1``."""
    import numpy as np

    sums, shares = np.zeros(1), np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        sums = np.add.outer(sums, size * (2.0 * np.arange(count + 1) - count)).ravel()
        shares = np.multiply.outer(shares, _coins(count)).ravel()
    return sums, shares


def _coins(count: int) -> list[float]:
    """How likely 0 to ``count`` heads are in so many throws."""
    ways, shares = 1, []
    for heads in range(count + 1):
        shares.append(ways / 2**count)
        ways = ways * (count - heads) // (heads + 1)
    return shares
