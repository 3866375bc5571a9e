"""When to answer "no answer": the null threshold, tuned exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from qakit.inference.nbest import answer_of
from qakit.values import Example, SpanPrediction

Score = Callable[[Sequence[Example], Sequence[str]], Sequence[float]]
"""Per-example figures of answers, one for each example; larger is better."""

MARGIN = 1.0
"""How far beyond all differences a threshold lies that answers every question, or none."""

ROUNDING = 1e-9
"""Totals that differ by less than this share of their size are equal: sums of fractions round."""


def best_threshold(differences: ArrayLike, if_answered: ArrayLike, if_null: ArrayLike) -> tuple[float, float]:
    """The threshold with the largest mean figure, of all there are, when ``difference > threshold`` means "no answer".

    Only the order of the differences matters, so one sweep over them sorted sees every possible outcome. Of the
    thresholds with the best mean it takes the middle of the widest gap between two neighbouring differences (the first
    one of equally wide ones), which leaves most room for differences on other data. If only answering everything or
    nothing is best, it lies :data:`MARGIN` beyond the last difference.

    Args:
        differences: (N,) null score - best candidate's score, finite.
        if_answered: (N,) the example's figure if its best candidate is the answer.
        if_null: (N,) the example's figure if the answer is "".

    Returns:
        The threshold and the mean figure with it; (0, 0) without examples.
    """
    difference, answered, null = (
        np.asarray(values, dtype=np.float64) for values in (differences, if_answered, if_null)
    )
    count = len(difference)
    if not count:
        return 0.0, 0.0
    if not np.isfinite(difference).all():
        raise ValueError("differences must be finite")
    order = np.argsort(difference, kind="stable")
    difference = difference[order]
    gain = np.concatenate([np.zeros(1), np.cumsum((answered - null)[order])])
    total = null.sum() + gain  # (N + 1,) with the first 0, 1 ... N questions answered, the others null

    # A threshold can lie before all differences, after all, or between two that differ.
    gap = np.concatenate([np.zeros(1), np.diff(difference), np.zeros(1)])
    possible = np.ones(count + 1, bool)
    possible[1:-1] = gap[1:-1] > 0
    best = total[possible].max()
    optimal = possible & (total >= best - ROUNDING * max(1.0, abs(best)))
    answers = int(np.argmax(np.where(optimal, gap, -1.0)))  # how many questions get their candidate
    return _between(difference, answers), float(total[answers] / count)


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
    answered = np.asarray(score(examples, best), dtype=np.float64)
    null = np.asarray(score(examples, [""] * len(examples)), dtype=np.float64)
    open_ = [row for row, prediction in enumerate(predictions) if prediction.candidates and prediction.null]
    differences = [_difference(predictions[row]) for row in open_]
    threshold, mean = best_threshold(differences, answered[open_], null[open_])
    total = mean * len(open_) + np.delete(answered, open_).sum()
    return threshold, float(total / len(predictions)) if predictions else 0.0


def apply_threshold(predictions: Sequence[SpanPrediction], threshold: float) -> list[SpanPrediction]:
    """The predictions with answers by another null threshold, straight from the candidates: clean-up comes after it."""
    return [
        replace(prediction, answer=answer_of(prediction.candidates, prediction.null, threshold))
        for prediction in predictions
    ]


def _difference(prediction: SpanPrediction) -> float:
    assert prediction.null is not None
    return prediction.null.score - prediction.candidates[0].score


def _between(difference: np.ndarray[tuple[int, ...], np.dtype[np.float64]], answers: int) -> float:
    """A threshold that keeps the first ``answers`` of the ascending differences and lies below the others."""
    if answers == 0:
        return float(difference[0]) - MARGIN
    if answers == len(difference):
        return float(difference[-1]) + MARGIN
    below, above = float(difference[answers - 1]), float(difference[answers])
    middle = below / 2 + above / 2
    return middle if below <= middle < above else below  # neighbouring floats have no middle
