"""Probabilities that mean what they say: one temperature, fitted on validation.

A softmax of raw scores is mostly too sure of itself. Divided by one temperature for all questions, the scores keep
their order, so answers stay, while the chosen option's probability comes close to how often such options are right.

Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from qakit.data.arrays import Bools, Float64, Int64
from qakit.inference.threshold import Score
from qakit.values import Example, SpanPrediction

LOWEST, HIGHEST = 0.05, 20.0
"""A few questions, all right or all wrong, would drive the temperature to 0 or to infinity."""
GRID = 31
"""Temperatures tried before the best one's surroundings are searched."""
CLOSE = 1e-6
"""How near to the best one the search ends, in the logarithm."""
BINS = 15
DECIMALS = 4
"""Of a fitted temperature: more would be noise."""
RIGHT = 100.0 - 1e-9
"""The figure, in percent, from which on an answer is exactly right."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well confidence and being right agree; the errors are shares (0 to 1)."""

    temperature: float
    ece_before: float
    """Expected calibration error of the raw scores (temperature 1)."""
    ece_after: float
    """The same with the temperature."""


@dataclass(frozen=True, slots=True)
class Options:
    """What each of N questions could be answered with: "no answer" (option 0) and its candidates, best first.

    Attributes:
        scores: (N, K + 1) the heads' raw scores, -inf where there is no such option.
        chosen: (N,) the option that is the answer; one without a score for a question without any option.
    """

    scores: Float64
    chosen: Int64

    @staticmethod
    def of(predictions: Sequence[SpanPrediction]) -> Options:
        """The options of predictions before clean-up."""
        width = 1 + max((len(prediction.candidates) for prediction in predictions), default=0)
        scores = np.full((len(predictions), width), -np.inf)
        for row, prediction in enumerate(predictions):
            if prediction.null is not None:
                scores[row, 0] = prediction.null.score
            scores[row, 1 : 1 + len(prediction.candidates)] = [each.score for each in prediction.candidates]
        chosen = np.array([int(bool(prediction.answer)) for prediction in predictions], np.int64)
        return Options(scores, chosen)

    @property
    def possible(self) -> Bools:
        """(N, K + 1) which options there are."""
        return self.scores > -np.inf

    def confidence(self, temperature: float) -> Float64:
        """(N,) probability of the chosen option; NaN for a question without any option."""
        confidence = np.full(len(self.chosen), np.nan)
        some = np.flatnonzero(self.possible.any(1))
        scores = self.scores[some] / temperature
        confidence[some] = np.exp(scores[np.arange(len(some)), self.chosen[some]] - logsumexp(scores, axis=1))
        return confidence


def right_options(
    predictions: Sequence[SpanPrediction], examples: Sequence[Example], options: Options, score: Score
) -> Int64:
    """(N,) the option that is exactly right, -1 where none is.

    Of several right ones the chosen comes first, then "no answer", then the better-scored. ``score`` is called once for
    each rank, with the questions that have no right option yet.
    """
    right = np.full(len(predictions), -1, np.int64)
    possible = options.possible

    for column in (None, *range(possible.shape[1])):
        columns = options.chosen if column is None else np.full(len(right), column)
        open_ = (right < 0) & possible[np.arange(len(right)), columns]
        rows = np.flatnonzero(open_ if column is None else open_ & (columns != options.chosen))
        if not len(rows):
            continue
        texts = [
            _text(predictions[row], option) for row, option in zip(rows.tolist(), columns[rows].tolist(), strict=True)
        ]
        hit = rows[np.asarray(score([examples[row] for row in rows.tolist()], texts), np.float64) >= RIGHT]
        right[hit] = columns[hit]
    return right


def exactly_right(predictions: Sequence[SpanPrediction], examples: Sequence[Example], score: Score) -> Bools:
    """(N,) whether the answers are exactly right."""
    answers = [prediction.answer for prediction in predictions]
    return np.asarray(score(examples, answers), np.float64) >= RIGHT


def fit_temperature(options: Options, right: Int64) -> float:
    """The temperature, from :data:`LOWEST` to :data:`HIGHEST`, that makes what was observed most likely.

    For a question with a right option (N,) that is the option's own probability. Where ``right`` is -1 it was only
    observed that the chosen option is wrong, which has the probability of all the others. Leaving these questions out
    would fit the temperature to the easy ones alone. A question with fewer than two options says nothing.

    Returns:
        1 if no other temperature is better.
    """
    rows = np.flatnonzero(options.possible.sum(1) >= 2)
    if not len(rows):
        return 1.0
    scores, chosen, right = options.scores[rows], options.chosen[rows], right[rows]
    numbers = np.arange(scores.shape[1])
    observed = np.where(right[:, None] < 0, numbers != chosen[:, None], numbers == right[:, None])
    events = np.where(observed, scores, -np.inf)

    def loss(temperature: float) -> float:
        total, part = (np.logaddexp.reduce(each / temperature, axis=1) for each in (scores, events))
        return float(np.mean(total - part))

    best = _minimum(lambda log: loss(float(np.exp(log))), float(np.log(LOWEST)), float(np.log(HIGHEST)))
    temperature = round(float(np.exp(best)), DECIMALS)
    return temperature if loss(temperature) < loss(1.0) else 1.0


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Mean distance of confidence and accuracy over :data:`BINS` bins of equal width, weighted by their questions.

    Args:
        confidence: (N,) probabilities; a bin holds its upper end. Questions with NaN are left out.
        correct: (N,) bool.

    Returns:
        A share (0 to 1); 0 without questions.
    """
    sure, hit = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    known = ~np.isnan(sure)
    sure, hit = sure[known], hit[known]
    if not len(sure):
        return 0.0
    bins = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return float(np.abs(np.bincount(bins, weights=sure - hit)).sum() / len(sure))


def calibration_of(options: Options, correct: Bools, temperature: float) -> Calibration:
    """The errors with and without a temperature; ``correct`` (N,): whether the chosen option is exactly right."""
    before, after = (expected_calibration_error(options.confidence(value), correct) for value in (1.0, temperature))
    return Calibration(temperature, before, after)


def _text(prediction: SpanPrediction, option: int) -> str:
    return prediction.candidates[option - 1].text if option else ""


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function of one number is smallest: a grid, then Brent's method around its best point."""
    from scipy.optimize import minimize_scalar  # half a second

    points = np.linspace(low, high, GRID).tolist()
    best = int(np.argmin([function(point) for point in points]))
    around = points[max(best - 1, 0)], points[min(best + 1, GRID - 1)]
    return float(minimize_scalar(function, bounds=around, method="bounded", options={"xatol": CLOSE}).x)
