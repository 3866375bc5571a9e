"""What a run folder says about its training, for a study's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qakit.errors import RunError
from qakit.numbers import finite_or_none
from qakit.protocols import NoRuntime
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run


def selected_by(recipe: Recipe, registry: Registry) -> str:
    """The figure that decides which weights are kept, and which trial is best. Larger is better."""
    if recipe.train.select_by is not None:
        return recipe.train.select_by
    metric = registry.build("metrics", recipe.metric.name, recipe.metric.settings, NoRuntime())
    return str(metric.primary)


def value_of(run: Run, figure: str) -> float:
    """The figure of the best weights.

    Raises:
        RunError: the run does not give it, or it is no finite number.
    """
    figures = run.read_json(run.metrics_file).get("validation")
    value = finite_or_none(figures.get(figure)) if isinstance(figures, dict) else None
    if value is None:
        raise RunError(f"{run.metrics_file} gives no figure {figure!r} on the validation data")
    return value


def result_of(run: Run) -> dict[str, Any]:
    """What tables show of a trial."""
    metrics, meta = run.read_json(run.metrics_file), run.read_json(run.meta_file)
    counts = meta.get("parameters", {})
    both = counts.get("all", {}) if isinstance(counts, dict) else {}
    return {
        "figures": _numbers(metrics.get("validation")),
        "seconds": finite_or_none(metrics.get("seconds")),
        "peak_memory_mb": metrics.get("peak_memory_mb"),
        "trainable": both.get("trainable"),
        "total": both.get("total"),
    }


def _numbers(figures: Any) -> Mapping[str, float]:
    if not isinstance(figures, dict):
        return {}
    return {key: value for key, value in figures.items() if finite_or_none(value) is not None}
