"""How sure a figure is, and a difference of two; whether a change helps beyond chance.

**The percentile bootstrap.** The questions are drawn anew, with replacement and as many as there are, and the mean is
taken of each draw (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993). Two systems that answered the same
questions are compared by question (Koehn, "Statistical significance tests for machine translation evaluation", EMNLP
2004; Berg-Kirkpatrick et al., "An empirical investigation of statistical significance in NLP", EMNLP 2012): what makes
a question hard is the same for both and cancels out.

**The paired sign-flip test**, and Holm's correction where many changes are tried. Two systems that are equally good
might as well have each other's figure on any question. So every sign of a difference is as likely as the other, and the
p-value is the share of all ways to give signs whose sum is at least as far from 0 as the one that was seen (Fisher,
"The Design of Experiments", 1935; Noreen, "Computer-Intensive Methods for Testing Hypotheses", 1989; for language
processing: Dror et al., "The Hitchhiker's Guide to Testing Statistical Significance in Natural Language Processing",
ACL 2018). A bootstrap is no such test where few answers change: of k changes that are all better, about e^-k of its
resamples hold none, while chance makes all k better in 2^-k of all cases.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean, stdev
from typing import TYPE_CHECKING, TypeVar

from qakit.randomness import derive_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]
    """From how often each of N questions is in each of R draws, (R, N), to the figures of the draws, (R,) each."""

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK = 2**21
"""Numbers held at once while resampling: 16 MiB."""
DECIMALS = 9
"""Differences are rounded to these, and their means to one less: neither sums in another order nor what rounding leaves
of differences that cancel must pass for a difference."""
EXACT_SUMS = 2**20
"""Of sign flips, told apart at most; with more, signs are drawn. 20 changed questions never have more."""
_ROUNDING = 1e-9
"""Of the sum of all sizes: what the order of adding may change."""

Test = TypeVar("Test", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better the first of two systems is, on average over the questions."""

    mean: float
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    opposite: float
    """Share (0 to 1) of the resamples in which the difference is 0 or has the other sign; 1 where ``mean`` is 0."""

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """``+0.31 [-0.10, +0.70]``."""
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def interval(
    values: Sequence[float] | NDArray[np.float64], *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[float, float]:
    """The bootstrap interval of the mean of ``values`` (N,), one figure for each question: ``(low, high)``.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    return ends_of_draws(_means(_checked(values), seed=seed, resamples=resamples), level)


def paired(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Difference:
    """The mean of ``first - second`` with its bootstrap interval; both (N,), the same questions in the same order.

    Raises:
        ValueError: not the same number of figures, none, or one that is not finite.
    """
    import numpy as np

    one, other = _checked(first), _checked(second)
    if one.shape != other.shape:
        raise ValueError(f"{len(one)} figures cannot be paired with {len(other)}")
    differences = np.round(one - other, DECIMALS)
    return difference_of_draws(float(differences.mean()), _means(differences, seed=seed, resamples=resamples))


def drawn_counts(questions: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """How often each of N questions is in each draw, (R, N) for some draws at a time, R in all ``resamples``."""
    import numpy as np

    generator = np.random.default_rng(derive_seed(seed, "bootstrap of figures"))
    rows = max(1, CHUNK // questions)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(questions, size=(size, questions)) + questions * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * questions).reshape(size, questions).astype(np.float64)


def ends_of_draws(figures: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """The bootstrap interval from the figure of each draw, (R,): ``(low, high)``."""
    import numpy as np

    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def difference_of_draws(whole: float, draws: NDArray[np.float64]) -> Difference:
    """As :func:`paired`, from the difference on all questions and that of each draw (R,)."""
    import numpy as np

    mean = float(np.round(whole, DECIMALS - 1))
    rounded = np.round(draws, DECIMALS - 1)
    return Difference(mean, *ends_of_draws(rounded), float(np.mean(rounded * np.sign(mean) <= 0)))


def _checked(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError("a bootstrap needs one finite figure for each question, and at least one question")
    return array


def _means(values: NDArray[np.float64], *, seed: int, resamples: int) -> NDArray[np.float64]:
    """Means of the resamples, (resamples,); a function of the arguments alone.

    A mean depends only on how often each distinct value was drawn, and those counts are multinomial: scores take few
    values, so this is far less work than drawing every question, and the distribution is the same.
    """
    import numpy as np

    distinct, counts = np.unique(values, return_counts=True)
    shares = counts / counts.sum()
    generator = np.random.default_rng(derive_seed(seed, "bootstrap"))
    rows = max(1, CHUNK // len(distinct))
    means = np.empty(resamples)
    for start in range(0, resamples, rows):
        part = means[start : start + rows]
        part[:] = generator.multinomial(len(values), shares, size=len(part)) @ distinct
    return means / len(values)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several runs."""

    mean: float
    low: float
    high: float
    sd: float | None
    """Standard deviation of the sample (n - 1); None for a single run."""

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return Spread(fmean(values), min(values), max(values), stdev(values) if len(values) > 1 else None)


# ------------------------------------------------------------------------------- one figure of one system
@dataclass(frozen=True, slots=True)
class Sampling:
    """How questions are drawn: the same draws for everything that is compared."""

    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class MeanColumn:
    """A mean over questions."""

    values: tuple[float, ...]
    """Each question's own figure."""

    @property
    def figure(self) -> float:
        return fmean(self.values)

    def interval(self, sampling: Sampling) -> tuple[float, float]:
        return interval(self.values, seed=sampling.seed, resamples=sampling.resamples)

    def minus(self, other: Column, sampling: Sampling) -> Difference:
        """How much larger this is, question by question."""
        assert isinstance(other, MeanColumn)  # one metric for all
        return paired(self.values, other.values, seed=sampling.seed, resamples=sampling.resamples)


@dataclass(frozen=True, slots=True)
class DrawnColumn:
    """A figure that is no mean over questions."""

    figure: float
    draws: NDArray[np.float64]
    """(R,) the figure of each draw."""

    def interval(self, _: Sampling) -> tuple[float, float]:
        return ends_of_draws(self.draws)

    def minus(self, other: Column, _: Sampling) -> Difference:
        """How much larger this is, draw by draw."""
        assert isinstance(other, DrawnColumn)  # one metric for all
        return difference_of_draws(self.figure - other.figure, self.draws - other.draws)


Column = MeanColumn | DrawnColumn


def mean_columns(figures: Mapping[str, Sequence[float]]) -> dict[str, Column]:
    """Columns of a metric that has figures for single questions."""
    return {key: MeanColumn(tuple(values)) for key, values in figures.items()}


def drawn_columns(draws: Draws, questions: int, sampling: Sampling) -> dict[str, Column]:
    """Columns of a metric that has not."""
    import numpy as np

    whole = draws(np.ones((1, questions)))
    parts = [draws(counts) for counts in drawn_counts(questions, seed=sampling.seed, resamples=sampling.resamples)]
    return {key: DrawnColumn(float(whole[key][0]), np.concatenate([part[key] for part in parts])) for key in whole}


def mean_of(columns: Sequence[Column]) -> Column:
    """The mean of the same figure over several runs, by question or by draw."""
    first = columns[0]
    if isinstance(first, MeanColumn):
        rows = zip(*(column.values for column in columns if isinstance(column, MeanColumn)), strict=True)
        return MeanColumn(tuple(fmean(values) for values in rows))
    drawn = [column for column in columns if isinstance(column, DrawnColumn)]
    import numpy as np

    draws: NDArray[np.float64] = np.mean([column.draws for column in drawn], axis=0)
    return DrawnColumn(fmean(column.figure for column in drawn), draws)


# --------------------------------------------------------------------- whether a change helps beyond chance
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
    if np.prod(counts + 1.0) <= EXACT_SUMS:
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
        coins = [comb(count, heads) / 2**count for heads in range(count + 1)]
        shares = np.multiply.outer(shares, coins).ravel()
    return sums, shares
