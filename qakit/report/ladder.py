"""A ladder of recipes: what each step bought over the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import QakitError
from qakit.protocols import Metric, NoRuntime
from qakit.recipe.differences import differing_keys
from qakit.report.compare import FEW, Plan, columns_of
from qakit.report.compare_runs import read_members
from qakit.runs import Run
from qakit.statistics import Column, Difference, Sampling

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry


@dataclass(frozen=True, slots=True)
class Rung:
    """One recipe of the ladder, trained or not."""

    name: str
    source: str
    """The recipe file, as it was given."""
    folder: Path
    error: str | None = None
    """Why it was not trained."""
    note: str = ""
    """What it is where it is no training of one recipe."""
    baselines: Mapping[str, float] | None = None
    """As its recipe has them now; None: as its run has them."""


@dataclass(frozen=True, slots=True)
class Step:
    """A rung with what it is worth."""

    rung: Rung
    score: float | None
    low: float | None = None
    """Lower end of the score's 95% interval, where the metric has one."""
    high: float | None = None
    gain: Difference | None = None
    """Over ``before``, paired by question."""
    before: str | None = None
    """The step that it is compared with: the last one before it that was trained."""
    changes: Mapping[str, str] | None = None
    """Recipe keys that differ from that step, with their values here; None where one of the two is an ensemble."""
    seconds: float | None = None
    """Of training, evaluation and prediction."""
    passes: tuple[str, ...] = ()
    """The baselines that the score reaches."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """All steps, in their order."""

    figure: str
    questions: int | None
    """None where the steps cannot be compared question by question."""
    steps: tuple[Step, ...]
    baselines: Mapping[str, float]
    """The competition's, lowest first."""
    sampling: Sampling
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain values, for programs."""
        return {
            "figure": self.figure,
            "questions": self.questions,
            "baselines": dict(self.baselines),
            "resamples": self.sampling.resamples,
            "seed": self.sampling.seed,
            "steps": [
                {
                    "name": step.rung.name,
                    "recipe": step.rung.source,
                    "run": str(step.rung.folder),
                    "error": step.rung.error,
                    "score": step.score,
                    "interval": None if step.low is None else [step.low, step.high],
                    "before": step.before,
                    "gain": None if step.gain is None else asdict(step.gain),
                    "changes": None if step.changes is None else dict(step.changes),
                    "seconds": step.seconds,
                    "passes": list(step.passes),
                }
                for step in self.steps
            ],
            "notes": list(self.notes),
        }


def ladder_of(rungs: Sequence[Rung], registry: Registry, sampling: Sampling) -> Ladder:
    """The ladder of some rungs, of which those without an error are trained.

    Raises:
        RunError, RecipeError: a run folder is damaged.
    """
    runs = {rung.name: Run(rung.folder) for rung in rungs if rung.error is None}
    recipes = {name: run.recipe() for name, run in runs.items()}
    notes = ["Scores are on the recipes' validation questions, baselines on the competition's test file."]
    figure, columns, questions = "score", dict[str, Column](), None
    if recipes:
        first = next(iter(recipes.values())).metric
        metric: Metric = registry.build("metrics", first.name, first.settings, NoRuntime())
        figure = metric.primary
        try:
            members = read_members([run.folder for run in runs.values()], registry)
            plan = Plan(resamples=sampling.resamples, seed=sampling.seed)
            columns = {name: columns_of(each, plan)[figure] for name, each in zip(runs, members, strict=True)}
            questions = members[0].questions or len(next(iter(members[0].figures.values())))
        except QakitError as error:
            notes.append(f"The steps are not compared question by question: {error}")
    now = {rung.name: rung.baselines for rung in rungs if rung.baselines is not None}
    baselines = dict(item for name in recipes for item in now.get(name, recipes[name].baselines).items())
    steps: list[Step] = []
    for rung in rungs:
        before = next((step.rung for step in reversed(steps) if step.score is not None), None)
        step = _step(rung, runs.get(rung.name), columns, figure, sampling)
        if before is not None and step.score is not None:
            step = _climbed(step, before, recipes, columns, sampling)
        passes = (name for name, value in baselines.items() if step.score is not None and step.score >= value)
        steps.append(replace(step, passes=tuple(sorted(passes, key=baselines.__getitem__))))
    notes += [f"{rung.name}: {rung.note}." for rung in rungs if rung.note]
    if questions is not None and questions < FEW:
        notes.append(f"Intervals of {questions} questions are too narrow: they know only what these questions show.")
    ordered = dict(sorted(baselines.items(), key=lambda item: item[1]))
    return Ladder(figure, questions, tuple(steps), ordered, sampling, tuple(notes))


def _step(rung: Rung, run: Run | None, columns: Mapping[str, Column], figure: str, sampling: Sampling) -> Step:
    if run is None:
        return Step(rung, None)
    metrics = run.read_json(run.metrics_file)
    seconds, validation = metrics.get("seconds"), metrics.get("validation")
    column = columns.get(rung.name)
    value = validation.get(figure) if isinstance(validation, dict) else None
    score = column.figure if column is not None else float(value) if isinstance(value, int | float) else None
    low, high = (None, None) if column is None else column.interval(sampling)
    return Step(rung, score, low, high, seconds=float(seconds) if isinstance(seconds, int | float) else None)


def _climbed(
    step: Step, before: Rung, recipes: Mapping[str, Recipe], columns: Mapping[str, Column], sampling: Sampling
) -> Step:
    """The step beside the one before it. An ensemble's recipe is that of a member, and says nothing of the whole."""
    own, other = columns.get(step.rung.name), columns.get(before.name)
    gain = None if own is None or other is None else own.minus(other, sampling)
    single = not step.rung.note and not before.note
    changes = differing_keys([recipes[before.name], recipes[step.rung.name]])[1] if single else None
    return replace(step, before=before.name, gain=gain, changes=changes)
