"""From scores to figures: threshold, temperature, clean-up, metric, the same way in training and afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qakit.data.checks.span_search import Exact, same_text
from qakit.errors import UsageError
from qakit.inference.calibration import (
    Calibration,
    Options,
    calibration_of,
    exactly_right,
    fit_temperature,
    right_options,
)
from qakit.inference.collectors import Scores, SpanScores
from qakit.inference.scoring import ScoringSet, answers_from, predictions_of
from qakit.inference.threshold import (
    Choices,
    Score,
    apply_threshold,
    null_differences,
    search_null_threshold,
    tune_null_threshold,
)
from qakit.protocols import Metric, NoRuntime, PerExampleMetric, Postprocessor
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import Example, Prediction, SetPrediction, SpanPrediction

EXACT_MATCH = ("exact_match", "exact", "EM")
"""What metrics call exact match."""


class NoMetric:
    """In the place of a metric where nothing is judged."""

    primary = ""

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """There is nothing to compute with."""
        said = f"{len(predictions)} answers to {len(examples)} questions cannot be judged"
        raise UsageError(f"{said}: this model was loaded to answer, without its metric")


@dataclass(frozen=True, slots=True)
class Judge:
    """How a recipe turns predictions into final answers and figures."""

    recipe: Recipe
    metric: Metric
    postprocessors: tuple[Postprocessor, ...]

    @staticmethod
    def of(recipe: Recipe, registry: Registry, *, judges: bool = True) -> Judge:
        """Build the recipe's postprocessors, and its metric if it ``judges``."""
        metric: Metric = NoMetric()
        if judges:
            metric = registry.build("metrics", recipe.metric.name, recipe.metric.settings, NoRuntime())
        steps = tuple(
            registry.build("postprocessors", ref.name, ref.settings, NoRuntime()) for ref in recipe.postprocess
        )
        return Judge(recipe, metric, steps)

    def with_recipe(self, recipe: Recipe, registry: Registry) -> Judge:
        """The same for another recipe; what that one names otherwise is built anew."""
        if (recipe.metric, recipe.postprocess) == (self.recipe.metric, self.recipe.postprocess):
            return replace(self, recipe=recipe)
        return Judge.of(recipe, registry, judges=not isinstance(self.metric, NoMetric))

    @property
    def selected_by(self) -> str:
        """The figure that decides which weights are kept."""
        return self.recipe.train.select_by or self.metric.primary


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures on labelled examples, and the predictions behind them."""

    figures: dict[str, float]
    predictions: tuple[Prediction, ...]
    raw: tuple[SpanPrediction, ...]
    """The predictions of spans before clean-up, which threshold and temperature are for."""
    null_threshold: float
    temperature: float = 1.0
    calibration: Calibration | None = None
    """None if the metric gives no figure for each question."""


def finish(predictions: Sequence[Prediction], examples: Sequence[Example], judge: Judge) -> list[Prediction]:
    """Apply the recipe's postprocessors in order.

    Raises:
        PluginError: one returns something else than the prediction of the same example.
    """
    finished: list[Prediction] = list(predictions)
    for step in judge.postprocessors:
        for index, example in enumerate(examples):
            finished[index] = _cleaned(step, finished[index], example)
    return finished


def _cleaned(step: Postprocessor, prediction: Prediction, example: Example) -> Prediction:
    if isinstance(prediction, SetPrediction):  # each answer by itself
        pairs = zip(prediction.answers, prediction.candidates or [None] * len(prediction.answers), strict=True)
        alone = [SpanPrediction(prediction.id, text, (place,) if place else ()) for text, place in pairs]
        return replace(prediction, answers=tuple(_cleaned(step, each, example).final for each in alone))
    return step(prediction, example)


def evaluate(
    prepared: ScoringSet, scores: Scores, judge: Judge, *, null_threshold: float | None, temperature: float | None
) -> Evaluation:
    """Figures of one scoring.

    Args:
        null_threshold: None: find the best one on these examples (validation only).
        temperature: None: fit it to these examples (validation only).
    """
    if isinstance(scores, SpanScores):
        return _evaluate_spans(prepared, scores, judge, null_threshold=null_threshold, temperature=temperature)
    predictions = predictions_of(prepared, scores, judge.recipe, null_threshold=0.0, temperature=1.0)
    final = finish(predictions, prepared.examples, judge)
    return Evaluation(dict(judge.metric.compute(prepared.examples, final)), tuple(final), (), null_threshold=0.0)


def _evaluate_spans(
    prepared: ScoringSet, scores: SpanScores, judge: Judge, *, null_threshold: float | None, temperature: float | None
) -> Evaluation:
    recipe, examples, score = judge.recipe, prepared.examples, figures_by_question(judge)

    def predicted(threshold: float, fitted: float) -> list[SpanPrediction]:
        return answers_from(prepared, scores, recipe, null_threshold=threshold, temperature=fitted)

    threshold, fitted = null_threshold or 0.0, temperature or 1.0
    raw = predicted(threshold, fitted)
    if null_threshold is None and recipe.predict.no_answer:
        threshold = best_null_threshold(raw, examples, judge)
        raw = apply_threshold(raw, threshold)
    options, calibration = Options.of(raw), None
    if temperature is None and score is not None:
        fitted = fit_temperature(options, right_options(raw, examples, options, score))
        raw = raw if fitted == 1.0 else predicted(threshold, fitted)
    if score is not None:
        calibration = calibration_of(options, exactly_right(raw, examples, score), fitted)
    final = finish(raw, examples, judge)
    figures = dict(judge.metric.compute(examples, final))
    return Evaluation(figures, tuple(final), tuple(raw), threshold, fitted, calibration)


def choices_of(raw: Sequence[SpanPrediction], examples: Sequence[Example], judge: Judge) -> Choices | None:
    """What every threshold would give, after clean-up; None if the metric gives no figure for each question."""
    if not isinstance(judge.metric, PerExampleMetric):
        return None
    best = [prediction.best.text if prediction.best else "" for prediction in raw]
    answered, null = (
        judge.metric.per_example(examples, answers_of(finish(_with_answers(raw, texts), examples, judge)))
        for texts in (best, [""] * len(raw))
    )
    return Choices(
        differences=null_differences(raw),
        answered={figure: np.asarray(values) for figure, values in answered.items()},
        null={figure: np.asarray(values) for figure, values in null.items()},
        answerable=np.array([bool(example.answers) for example in examples]),
    )


def answers_of(predictions: Sequence[Prediction]) -> list[str]:
    """The final texts: of a class or a number, as it is written."""
    return [each.final for each in predictions]


def _with_answers(predictions: Sequence[SpanPrediction], answers: Sequence[str]) -> list[SpanPrediction]:
    return [each.with_answer(answer) for each, answer in zip(predictions, answers, strict=True)]


def check_selection(judge: Judge, examples: Sequence[Example], stand_ins: Sequence[Prediction]) -> None:
    """Make sure, before any training, that the metric gives the figure that decides which weights are kept.

    Args:
        stand_ins: a prediction for each example, of the kind that the head makes.

    Raises:
        UsageError: it does not, or it is for other predictions than the head makes.
    """
    figures = judge.metric.compute(examples, stand_ins)
    if judge.selected_by not in figures:
        raise UsageError(f"train.select_by is {judge.selected_by!r}, but the metric gives {', '.join(sorted(figures))}")


def fixed_threshold(recipe: Recipe) -> float | None:
    """The recipe's own no-answer threshold; None when it is to be tuned on validation."""
    if not recipe.predict.no_answer:
        return 0.0
    return None if recipe.predict.null_threshold == "tune" else recipe.predict.null_threshold


def best_null_threshold(raw: Sequence[SpanPrediction], examples: Sequence[Example], judge: Judge) -> float:
    """The null threshold with the best primary figure on these examples."""
    if (score := figures_by_question(judge)) is not None:
        return tune_null_threshold(raw, examples, score)[0]

    def figure(predictions: Sequence[SpanPrediction]) -> float:
        return float(judge.metric.compute(examples, finish(predictions, examples, judge))[judge.metric.primary])

    return search_null_threshold(raw, figure)[0]


def figures_by_question(judge: Judge) -> Score | None:
    """Each question's own primary figure, if the metric gives it."""
    metric = judge.metric
    if not isinstance(metric, PerExampleMetric):
        return None
    return lambda examples, answers: metric.per_example(examples, answers)[metric.primary]


def exact_match(metric: Metric) -> Exact:
    """The metric's exact match of an example and an answer; :func:`same_text` where it has none."""
    if not isinstance(metric, PerExampleMetric):
        return same_text

    def exact(example: Example, answer: str) -> bool:
        columns = metric.per_example([example], [answer])
        name = next((name for name in EXACT_MATCH if name in columns), None)
        return same_text(example, answer) if name is None else columns[name][0] == 100.0

    return exact
