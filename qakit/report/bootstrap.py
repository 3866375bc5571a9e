"""How sure a mean over questions is, and a difference of two: the percentile bootstrap.

The questions are drawn anew, with replacement and as many as there are, and the mean is taken of each draw (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993). Two systems that answered the same questions are compared by
question (Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004; Berg-Kirkpatrick et
al., "An empirical investigation of statistical significance in NLP", EMNLP 2012): what makes a question hard is the
same for both and cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qakit.randomness import derive_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK = 2**21
"""Numbers held at once while resampling: 16 MiB."""
DECIMALS = 9
"""Differences are rounded to these, and their means to one less: neither sums in another order nor what rounding leaves
of differences that cancel must pass for a difference."""


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


def interval(
    values: Sequence[float] | NDArray[np.float64], *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[float, float]:
    """The bootstrap interval of the mean of ``values`` (N,), one figure for each question: ``(low, high)``.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    return _ends(_means(_checked(values), seed=seed, resamples=resamples), level)


def paired(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
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
    mean = float(np.round(differences.mean(), DECIMALS - 1))
    means = np.round(_means(differences, seed=seed, resamples=resamples), DECIMALS - 1)
    low, high = _ends(means, level)
    return Difference(mean, low, high, float(np.mean(means * np.sign(mean) <= 0)))


def drawn_counts(questions: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """How often each of N questions is in each draw, (R, N) for some draws at a time, R in all ``resamples``."""
    import numpy as np

    generator = np.random.default_rng(derive_seed(seed, "bootstrap of figures"))
    rows = max(1, CHUNK // questions)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(questions, size=(size, questions)) + questions * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * questions).reshape(size, questions).astype(np.float64)


def ends_of_draws(figures: NDArray[np.float64], *, level: float = LEVEL) -> tuple[float, float]:
    """The bootstrap interval from the figure of each draw, (R,): ``(low, high)``."""
    return _ends(figures, level)


def difference_of_draws(whole: float, draws: NDArray[np.float64], *, level: float = LEVEL) -> Difference:
    """As :func:`paired`, from the difference on all questions and that of each draw (R,)."""
    import numpy as np

    mean = float(np.round(whole, DECIMALS - 1))
    rounded = np.round(draws, DECIMALS - 1)
    low, high = _ends(rounded, level)
    return Difference(mean, low, high, float(np.mean(rounded * np.sign(mean) <= 0)))


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


def _ends(means: NDArray[np.float64], level: float) -> tuple[float, float]:
    import numpy as np

    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
