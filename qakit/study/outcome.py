"""What a run folder says about its training, for the study that started it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qakit.errors import RunError
from qakit.numbers import finite_or_none
from qakit.protocols import NoRuntime
from qakit.recipe.differences import differing_keys
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run


def selected_by(recipe: Recipe, registry: Registry) -> str:
    """The figure that decides which weights are kept, and which trial is best. Larger is better."""
    if recipe.train.select_by is not None:
        return recipe.train.select_by
    metric = registry.build("metrics", recipe.metric.name, recipe.metric.settings, NoRuntime())
    return str(metric.primary)


def is_trained(run: Run) -> bool:
    """Whether a training ended well here."""
    return run.metrics_file.is_file()


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


def evaluations(run: Run, figure: str) -> list[float]:
    """The figure at each evaluation during training, in order."""
    lines = [line for line in run.metrics() if line["type"] == "evaluation" and line["step"] > 0]
    return [value for line in lines if (value := finite_or_none(line.get(figure))) is not None]


def result_of(run: Run, *, seconds_before: float) -> dict[str, Any]:
    """What tables show of a training; it travels with the trial to where the run folder does not."""
    metrics, meta = run.read_json(run.metrics_file), run.read_json(run.meta_file)
    counts = meta.get("parameters", {})
    both = counts.get("all", {}) if isinstance(counts, dict) else {}
    seconds = finite_or_none(metrics.get("seconds"))
    return {
        "figures": _numbers(metrics.get("validation")),
        "seconds": None if seconds is None else round(seconds_before + seconds, 1),
        "peak_memory_mb": metrics.get("peak_memory_mb"),
        "trainable": both.get("trainable"),
        "total": both.get("total"),
    }


def check_same_recipe(run: Run, recipe: Recipe, *, file: str) -> None:
    """A trial goes on only with the recipe that it began with.

    Raises:
        RunError: the study's file, or a recipe that it names, has changed since.
    """
    if not run.recipe_file.is_file():
        return
    before, now = differing_keys([run.recipe(), recipe])
    if before != now:
        key = next(key for key in (*before, *now) if before.get(key) != now.get(key))
        raise RunError(
            f"{run.folder} was begun with {key}: {before.get(key, 'nothing')}, but {file} now means "
            f"{key}: {now.get(key, 'nothing')}; change it back, give the study another name, or another --output"
        )


def _numbers(figures: Any) -> Mapping[str, float]:
    if not isinstance(figures, dict):
        return {}
    return {key: value for key, value in figures.items() if finite_or_none(value) is not None}
