"""One figure of one system, ready for the bootstrap: a mean over questions, or what is computed for each draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from qakit.report.bootstrap import Difference, difference_of_draws, ends_of_draws, interval, paired

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]
    """From how often each of N questions is in each of R draws, (R, N), to the figures of the draws, (R,) each."""


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
        """Of all questions."""
        return fmean(self.values)

    def interval(self, sampling: Sampling) -> tuple[float, float]:
        """The bootstrap interval of :attr:`figure`."""
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
        """The bootstrap interval of :attr:`figure`."""
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

    from qakit.report.bootstrap import drawn_counts

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
