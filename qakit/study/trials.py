"""A study's trials: what they are says ``study.json``, what became of them their run folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import QakitError, RunError
from qakit.names import plain_name
from qakit.numbers import finite_or_none
from qakit.protocols import NoRuntime
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, runs_in, seconds_of, state_of
from qakit.study.folder import StudyFolder
from qakit.study.plan import PlannedTrial


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
    value = run.figures().get(figure)
    if value is None:
        raise RunError(f"{run.metrics_file} gives no figure {figure!r} on the validation data")
    return value


def result_of(run: Run) -> dict[str, Any]:
    """What tables show of a trial; its costs are those that it would have alone."""
    shared = _shared_trainings(run)
    metrics, meta = run.read_json(run.metrics_file), run.read_json(run.meta_file)
    seconds = finite_or_none(metrics.get("seconds"))
    if seconds is not None and shared:
        seconds = seconds + seconds_of(shared) if all(each.finished for each in shared) else None
    peaks = [each.read_json(each.metrics_file).get("peak_memory_mb") for each in (run, *shared)]
    counts = meta.get("parameters", {})
    both = counts.get("all", {}) if isinstance(counts, dict) else {}
    return {
        "figures": run.figures(),
        "shared": bool(shared),
        "seconds": seconds,
        "peak_memory_mb": max((peak for peak in peaks if isinstance(peak, int | float)), default=None),
        "trainable": both.get("trainable"),
        "total": both.get("total"),
    }


def _shared_trainings(run: Run) -> list[Run]:
    """The trainings of other trials whose weights a trial takes, or a part of it. The study may have been moved."""
    runs, metas = run.folder.parent, [part.read_json(part.meta_file) for part in runs_in(run.folder)]
    noted = {Path(str(meta["weights_from"])).as_posix() for meta in metas if "weights_from" in meta}
    labels = sorted(place.rpartition(f"/{runs.name}/")[2] for place in noted)
    return [Run(runs / label) for label in labels if label.split("/")[0] != run.name]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as the study's file means it."""

    run: str
    """The name of its folder under ``runs``."""
    task: str
    row: str
    values: Mapping[str, str]
    seed: int
    pruned: bool = False
    """A search has given it up."""
    error: str = ""
    """Why no recipe comes of what a search drew."""

    @staticmethod
    def of(planned: PlannedTrial[Any]) -> Trial:
        return Trial(planned.label, planned.task, planned.row, planned.values, planned.seed)

    def as_json(self) -> dict[str, Any]:
        """As study.json has it."""
        found = {"task": self.task, "row": self.row, "values": dict(self.values), "seed": self.seed}
        extra = {"pruned": True} if self.pruned else {}
        return found | extra | ({"error": self.error} if self.error else {})


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial, and what became of it."""

    trial: Trial
    state: str
    """As of a run; also ``pruned``."""
    value: float | None
    """The figure that decides; None unless it is finished."""
    result: Mapping[str, Any]
    """Figures, seconds, peak memory and parameters of a finished one, and whether it shares another's training."""
    error: str


def noted_trials(folder: StudyFolder) -> list[Trial]:
    """All trials that were begun in a study's folder.

    Raises:
        RunError: study.json is damaged.
    """
    try:
        return [
            Trial(
                plain_name(name),
                str(each["task"]),
                str(each["row"]),
                {str(key): str(value) for key, value in each["values"].items()},
                int(each["seed"]),
                each.get("pruned") is True,
                str(each.get("error", "")),
            )
            for name, each in folder.about().get("trials", {}).items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RunError(f"{folder.about_file} is damaged: trials: {error}") from None


def records_of(folder: StudyFolder, trials: Iterable[Trial], registry: Registry) -> list[TrialRecord]:
    """What became of trials, as their folders tell; what is wrong with a damaged one stands in its record."""
    return [_record(Run(folder.runs / trial.run), trial, registry) for trial in trials]


def _record(run: Run, trial: Trial, registry: Registry) -> TrialRecord:
    if trial.error:
        return TrialRecord(trial, "failed", None, {}, trial.error)
    if not run.recipe_file.is_file():
        return TrialRecord(trial, "waiting", None, {}, "")
    try:
        state, figure = state_of(run), selected_by(run.recipe(), registry)
    except QakitError as error:
        return TrialRecord(trial, "failed", None, {}, str(error))
    name = "pruned" if trial.pruned and state.name == "interrupted" else state.name
    if name != "finished":
        return TrialRecord(trial, name, None, {}, state.reason or "")
    try:
        return TrialRecord(trial, name, value_of(run, figure), result_of(run), "")
    except RunError as error:
        return TrialRecord(trial, "failed", None, {}, str(error))
