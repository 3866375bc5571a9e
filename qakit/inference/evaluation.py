"""From scores to figures: threshold, clean-up, metric — the same way in training, ``evaluate`` and ``predict``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qakit.errors import PluginError, UsageError
from qakit.inference.scoring import ScoringSet, predictions_of
from qakit.inference.table import SpanTable
from qakit.inference.threshold import apply_threshold, tune_null_threshold
from qakit.protocols import Metric, NoRuntime, PerExampleMetric, Postprocessor
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import Example, LabelPrediction, NoAnswer, Prediction, SpanPrediction


@dataclass(frozen=True, slots=True)
class Judge:
    """How a recipe turns predictions into final answers and figures."""

    recipe: Recipe
    metric: Metric
    postprocessors: tuple[Postprocessor, ...]

    @staticmethod
    def of(recipe: Recipe, registry: Registry) -> Judge:
        """Build the recipe's metric and postprocessors."""
        metric = registry.build("metrics", recipe.metric.name, recipe.metric.settings, NoRuntime())
        steps = tuple(
            registry.build("postprocessors", ref.name, ref.settings, NoRuntime()) for ref in recipe.postprocess
        )
        return Judge(recipe, metric, steps)

    @property
    def selected_by(self) -> str:
        """The figure that decides which weights are kept."""
        return self.recipe.train.select_by or self.metric.primary


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures on labelled examples, and the predictions behind them."""

    figures: dict[str, float]
    predictions: tuple[Prediction, ...]
    null_threshold: float


def finish(predictions: Sequence[SpanPrediction], examples: Sequence[Example], judge: Judge) -> list[Prediction]:
    """Apply the recipe's postprocessors in order.

    Raises:
        PluginError: one returns something else than the prediction of the same example.
    """
    finished: list[Prediction] = list(predictions)
    for ref, step in zip(judge.recipe.postprocess, judge.postprocessors, strict=True):
        for index, example in enumerate(examples):
            finished[index] = _cleaned(ref.name, step, finished[index], example)
    return finished


def _cleaned(name: str, step: Postprocessor, prediction: Prediction, example: Example) -> Prediction:
    try:
        cleaned = step(prediction, example)
    except Exception as error:
        error.add_note(f"in the postprocessor {name!r}, for the example {example.id!r}")
        raise
    if not isinstance(cleaned, SpanPrediction | LabelPrediction) or cleaned.id != example.id:
        found = f"the id {cleaned.id!r}" if hasattr(cleaned, "id") else type(cleaned).__name__
        raise PluginError(
            f"the postprocessor {name!r} returned {found} for the example {example.id!r}; "
            "it must return a Prediction with the same id"
        )
    return cleaned


def evaluate(prepared: ScoringSet, table: SpanTable, judge: Judge, *, null_threshold: float | None) -> Evaluation:
    """Figures of one scoring. ``null_threshold=None``: find the best one on these examples (validation only)."""
    recipe = judge.recipe
    raw = predictions_of(prepared, table, recipe, null_threshold=null_threshold or 0.0)
    threshold = null_threshold if null_threshold is not None else 0.0
    if null_threshold is None and recipe.predict.no_answer:
        threshold = _tuned(raw, prepared.examples, judge)
        raw = apply_threshold(raw, threshold)
    final = finish(raw, prepared.examples, judge)
    figures = dict(judge.metric.compute(prepared.examples, final))
    return Evaluation(figures, tuple(final), threshold)


def check_selection(judge: Judge, examples: Sequence[Example]) -> None:
    """Make sure, before any training, that the metric gives the figure that decides which weights are kept.

    Raises:
        UsageError: it does not.
    """
    empty = [SpanPrediction(example.id, "", null=NoAnswer(0.0, 0.5)) for example in examples[:50]]
    figures = judge.metric.compute(examples[:50], empty)
    if judge.selected_by not in figures:
        raise UsageError(f"train.select_by is {judge.selected_by!r}, but the metric gives {', '.join(sorted(figures))}")


def fixed_threshold(recipe: Recipe) -> float | None:
    """The recipe's own no-answer threshold; None when it is to be tuned on validation."""
    if not recipe.predict.no_answer:
        return 0.0
    return None if recipe.predict.null_threshold == "tune" else recipe.predict.null_threshold


def _tuned(predictions: Sequence[SpanPrediction], examples: Sequence[Example], judge: Judge) -> float:
    metric = judge.metric
    if not isinstance(metric, PerExampleMetric):
        return 0.0

    def score(some: Sequence[Example], answers: Sequence[str]) -> Sequence[float]:
        return metric.per_example(some, answers)[metric.primary]

    return tune_null_threshold(predictions, examples, score)[0]
