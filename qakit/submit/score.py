"""A run's own figure, and how sure it is: what to expect of the leaderboard."""

from __future__ import annotations

from statistics import stdev
from typing import TYPE_CHECKING

from qakit.errors import QakitError
from qakit.numbers import finite_or_none
from qakit.runs import Run
from qakit.submit.record import Score

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry


def local_score(run: Run, recipe: Recipe, registry: Registry) -> Score:
    """The validation figure that chose the run's weights, with its bootstrap interval.

    Without the interval where the run keeps no validation predictions, its validation file is gone or has changed, or
    its metric has no figure for each question. Empty where the run has no figures.
    """
    from qakit.inference.evaluation import Judge

    figures = run.read_json(run.metrics_file).get("validation") or run.read_json(run.decision_file).get("figures")
    name = Judge.of(recipe, registry).selected_by
    mean = finite_or_none(figures.get(name)) if isinstance(figures, dict) else None
    if mean is None:
        return Score()
    values = _values(run, recipe, registry, name)
    if not values or abs(sum(values) / len(values) - mean) > 1e-6 * max(1.0, abs(mean)):
        return Score(name, mean)
    from qakit.statistics import interval

    low, high = interval(values, seed=recipe.seed)
    spread = stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return Score(name, mean, spread, low, high)


def _values(run: Run, recipe: Recipe, registry: Registry, name: str) -> list[float] | None:
    """Each validation question's own figure, in percent; None where that cannot be had."""
    from qakit.inference.evaluation import Judge
    from qakit.inference.nbest_file import kept_validation
    from qakit.protocols import PerExampleMetric

    metric = Judge.of(recipe, registry).metric
    if not isinstance(metric, PerExampleMetric):
        return None
    try:
        kept = kept_validation(run, recipe, registry)
    except QakitError:
        return None
    if kept is None:
        return None
    examples, predictions = kept
    if any(example.id not in predictions for example in examples):
        return None
    return metric.per_example(examples, [predictions[example.id].answer for example in examples]).get(name)
