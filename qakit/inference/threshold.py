"""When to answer "no answer": the null threshold, tuned exactly, and what every other threshold would have given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from qakit.data.arrays import Bools, Float64
from qakit.inference.nbest import answer_of
from qakit.values import Example, SpanPrediction

Score = Callable[[Sequence[Example], Sequence[str]], Sequence[float]]
"""Per-example figures of answers, one for each example; larger is better."""

MARGIN = 1.0
"""How far beyond all differences a threshold lies that answers every question, or none."""

SEARCHED = 101
"""Thresholds that are tried where each takes a computation of the metric."""

ROUNDING = 1e-9
"""Totals that differ by less than this share of their size are equal: sums of fractions round."""


def best_threshold(differences: ArrayLike, if_answered: ArrayLike, if_null: ArrayLike) -> tuple[float, float]:
    """The threshold with the largest mean figure, of all there are, when ``difference > threshold`` means "no answer".

    Only the order of the differences matters, so one sweep over them sorted sees every possible outcome. Of the
    thresholds with the best mean it takes the middle of the widest gap between two neighbouring differences (the first
    one of equally wide ones), which leaves most room for differences on other data. If only answering everything or
    nothing is best, it lies :data:`MARGIN` beyond the last difference.

    Args:
        differences: (N,) null score - best candidate's score. Infinite where no threshold matters: inf without a
            candidate (always "no answer"), -inf without a null option (always answered).
        if_answered: (N,) the example's figure if its best candidate is the answer.
        if_null: (N,) the example's figure if the answer is "".

    Returns:
        The threshold and the mean figure with it; the threshold is 0 where none matters, the mean 0 without examples.
    """
    difference, answered, null = (
        np.asarray(values, dtype=np.float64) for values in (differences, if_answered, if_null)
    )
    if np.isnan(difference).any():
        raise ValueError("differences must be numbers")
    if not len(difference):
        return 0.0, 0.0
    finite = np.isfinite(difference)
    fixed = float(np.where(difference < 0, answered, null)[~finite].sum())
    if not finite.any():
        return 0.0, fixed / len(difference)
    threshold, total = _best_total(difference[finite], answered[finite], null[finite])
    return threshold, (total + fixed) / len(difference)


def _best_total(difference: Float64, answered: Float64, null: Float64) -> tuple[float, float]:
    """:func:`best_threshold` of at least one finite difference, with the sum of the figures."""
    count = len(difference)
    order = np.argsort(difference, kind="stable")
    difference = difference[order]
    total = _totals(answered[order], null[order])

    # A threshold can lie before all differences, after all, or between two that differ.
    gap = np.concatenate([np.zeros(1), np.diff(difference), np.zeros(1)])
    possible = np.ones(count + 1, bool)
    possible[1:-1] = gap[1:-1] > 0
    best = total[possible].max()
    optimal = possible & (total >= best - ROUNDING * max(1.0, abs(best)))
    answers = int(np.argmax(np.where(optimal, gap, -1.0)))  # how many questions get their candidate
    return _between(difference, answers), float(total[answers])


def _totals(answered: Float64, null: Float64) -> Float64:
    """(N + 1,) sums of the figures with the first 0, 1 ... N questions answered and the others null."""
    gains = np.concatenate([np.zeros(1), np.cumsum(answered - null)])
    return np.asarray(null.sum() + gains, np.float64)


def tune_null_threshold(
    predictions: Sequence[SpanPrediction], examples: Sequence[Example], score: Score
) -> tuple[float, float]:
    """The null threshold that gives these predictions the best mean figure, and that figure.

    Questions without candidates are "no answer" at any threshold, and those without a null option are answered at any;
    they count in the mean alone.

    Args:
        predictions: before clean-up, one per example.
        score: called twice: with the best candidates' texts, and with empty answers.
    """
    best = [prediction.candidates[0].text if prediction.candidates else "" for prediction in predictions]
    return best_threshold(null_differences(predictions), score(examples, best), score(examples, [""] * len(examples)))


def search_null_threshold(
    predictions: Sequence[SpanPrediction], figure: Callable[[Sequence[SpanPrediction]], float]
) -> tuple[float, float]:
    """The null threshold with the best figure, and that figure, of a metric that is no mean over examples (an F1).

    Such a figure is not known without being computed, so of many thresholds :data:`SEARCHED` are tried: between
    differences, an even share of the examples from one to the next. Equally good ones: the one in the middle.

    Args:
        predictions: before clean-up, one per example.
        figure: of predictions with their answers; larger is better.
    """
    differences = np.unique(null_differences(predictions))
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return 0.0, figure(predictions)
    answers = np.unique(np.linspace(0, len(differences), SEARCHED).round().astype(int))
    thresholds = [_between(differences, int(count)) for count in answers]
    figures = np.array([figure(apply_threshold(predictions, each)) for each in thresholds])
    best = np.flatnonzero(figures >= figures.max() - ROUNDING * max(1.0, abs(figures.max())))
    chosen = int(best[len(best) // 2])
    return thresholds[chosen], float(figures[chosen])


def null_differences(predictions: Sequence[SpanPrediction]) -> Float64:
    """(N,) null score - best candidate's score; inf without a candidate, -inf with one but without a null option."""
    return np.array([_difference(prediction) for prediction in predictions], dtype=np.float64)


def apply_threshold(predictions: Sequence[SpanPrediction], threshold: float) -> list[SpanPrediction]:
    """The predictions with answers by another null threshold, straight from the candidates: clean-up comes after it."""
    return [
        replace(prediction, answer=answer_of(prediction.candidates, prediction.null, threshold))
        for prediction in predictions
    ]


@dataclass(frozen=True, slots=True)
class Curve:
    """A mean figure as a step function of the threshold.

    Attributes:
        thresholds: (M,) ascending, the first -inf; between two of them nothing changes.
        means: (M,) the figure from ``thresholds[m]`` on, that included, up to the next one.
    """

    thresholds: Float64
    means: Float64

    def at(self, threshold: float) -> float:
        """The mean figure with this threshold."""
        return float(self.means[np.searchsorted(self.thresholds, threshold, side="right") - 1])


@dataclass(frozen=True, slots=True)
class Choices:
    """What each of N questions scores if it is answered and if it is not.

    Attributes:
        differences: (N,) see :func:`null_differences`.
        answered: figure -> (N,) with the best candidate as the answer.
        null: figure -> (N,) with the answer "".
        answerable: (N,) bool, whether the question has a gold answer.
    """

    differences: Float64
    answered: Mapping[str, Float64]
    null: Mapping[str, Float64]
    answerable: Bools

    def best(self, figure: str) -> tuple[float, float]:
        """The best threshold on these very questions and the mean with it: an oracle, no threshold to report with."""
        return best_threshold(self.differences, self.answered[figure], self.null[figure])

    def curve(self, figure: str, rows: Bools | None = None) -> Curve:
        """The mean of a figure at every threshold, over all questions or over ``rows`` (N,), at least one."""
        chosen = np.ones(len(self.differences), bool) if rows is None else rows
        order = np.argsort(self.differences[chosen], kind="stable")
        difference = self.differences[chosen][order]
        totals = _totals(self.answered[figure][chosen][order], self.null[figure][chosen][order])
        thresholds = np.concatenate([[-np.inf], np.unique(difference[np.isfinite(difference)])])
        answers = np.searchsorted(difference, thresholds, side="right")
        return Curve(thresholds, totals[answers] / len(difference))


def _difference(prediction: SpanPrediction) -> float:
    if not prediction.candidates:
        return np.inf
    return -np.inf if prediction.null is None else prediction.null.score - prediction.candidates[0].score


def _between(difference: np.ndarray[tuple[int, ...], np.dtype[np.float64]], answers: int) -> float:
    """A threshold that keeps the first ``answers`` of the ascending differences and lies below the others."""
    if answers == 0:
        return float(difference[0]) - MARGIN
    if answers == len(difference):
        return float(difference[-1]) + MARGIN
    below, above = float(difference[answers - 1]), float(difference[answers])
    middle = below / 2 + above / 2
    return middle if below <= middle < above else below  # neighbouring floats have no middle
