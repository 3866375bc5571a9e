"""A ladder of recipes: what each step bought over the one before, as tables, Markdown, a page and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit import __version__
from qakit.errors import QakitError
from qakit.files import write_json, write_text
from qakit.names import duration
from qakit.protocols import Metric, NoRuntime
from qakit.recipe.differences import differing_keys
from qakit.report.compare import FEW, columns_of
from qakit.report.compare_runs import read_members
from qakit.report.compare_table import NOTHING, Grid, changes, markdown_table, markdown_text, signed, verdict
from qakit.report.curves import save_picture
from qakit.report.html import code, drawn_for_html, figure, heading, inline_svg, notes, page, paragraph, table
from qakit.report.training_data import mixed_training_data
from qakit.runs import Run, cut_short
from qakit.statistics import Column, Difference, Sampling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
            columns = {name: columns_of(each, sampling)[figure] for name, each in zip(runs, members, strict=True)}
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
    notes += [f"{name} has trained {short}." for name, run in runs.items() if (short := cut_short(run))]
    notes += mixed_training_data(runs)
    if questions is not None and questions < FEW:
        notes.append(f"Intervals of {questions} questions are too narrow: they know only what these questions show.")
    ordered = dict(sorted(baselines.items(), key=lambda item: item[1]))
    return Ladder(figure, questions, tuple(steps), ordered, sampling, tuple(notes))


def _step(rung: Rung, run: Run | None, columns: Mapping[str, Column], figure: str, sampling: Sampling) -> Step:
    if run is None:
        return Step(rung, None)
    seconds = run.read_json(run.metrics_file).get("seconds")
    column = columns.get(rung.name)
    score = column.figure if column is not None else run.figures().get(figure)
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


PICTURE = "ladder.png"
CAPTION = "The score of each step with its 95% interval, and the competition's baselines as dashed lines."


def write_ladder(ladder: Ladder, folder: Path) -> None:
    """ladder.md, ladder.html, ladder.json and ladder.png.

    Raises:
        OutputError: the folder cannot be written.
    """
    save_picture(stairs(ladder), folder / PICTURE, dpi=130)
    write_text(folder / "ladder.md", markdown(ladder))
    write_text(folder / "ladder.html", html_page(ladder))
    write_json(folder / "ladder.json", ladder.as_json())


def grids(ladder: Ladder) -> list[Grid]:
    """The steps, the baselines if there are any, and what changed from step to step."""
    title = f"Ladder: {ladder.figure}"
    columns = ("step", "score [95%]", "gain", "95% interval", "verdict", "time", "reaches")
    found = [Grid(title, columns, tuple(map(_row, ladder.steps)), columns[1:4])]
    if ladder.baselines:
        rows = tuple((name, f"{value:.2f}", _reached(ladder, name)) for name, value in ladder.baselines.items())
        found.append(Grid("Baselines of the competition", ("baseline", "score", "first reached by"), rows, ("score",)))
    changed = tuple(
        (step.rung.name, step.before or NOTHING, changes(step.changes)) for step in ladder.steps if step.changes
    )
    if changed:
        found.append(Grid("What changed in the recipe", ("step", "over", "changes"), changed, ()))
    return found


def method(ladder: Ladder) -> str:
    """How the figures were found."""
    if ladder.questions is None:
        return "Scores as the runs kept them."
    return (
        f"{ladder.questions:,} questions; gains over the step before, paired by question; percentile bootstrap over "
        f"questions, {ladder.sampling.resamples:,} resamples, seed {ladder.sampling.seed}."
    )


def markdown(ladder: Ladder) -> str:
    parts = ["# Ladder", method(ladder), f"![{CAPTION}]({PICTURE})"]
    for grid in grids(ladder):
        parts += [f"## {markdown_text(grid.title)}", markdown_table(grid)]
    for name, error in _failed(ladder):
        indented = "\n".join(f"    {line}" for line in error.splitlines())
        parts += [f"## Failed: {markdown_text(name)}", indented]
    parts += ["\n".join(f"- {markdown_text(note)}" for note in ladder.notes), f"qakit {__version__}"]
    return "\n\n".join(parts) + "\n"


def html_page(ladder: Ladder) -> str:
    parts = [heading("Ladder", 1), paragraph(method(ladder), style="soft")]
    with drawn_for_html():
        parts.append(figure(inline_svg(stairs(ladder), name="stairs"), CAPTION))
    for grid in grids(ladder):
        parts += [heading(grid.title), table(grid)]
    for name, error in _failed(ladder):
        parts += [heading(f"Failed: {name}", style="failed"), code(error)]
    parts += [*notes(ladder.notes), paragraph(f"qakit {__version__}", style="soft")]
    return page("Ladder", parts)


def stairs(ladder: Ladder) -> Figure:
    """The picture: a tread for each step at its score."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(max(6.0, 1.8 * len(ladder.steps) + 2), 4.5), layout="constrained")
    axes = drawing.subplots()
    place: tuple[float, float] | None = None
    for number, step in enumerate(ladder.steps):
        if step.score is None:
            continue
        if place is not None:
            axes.plot([place[0], number - 0.5], [place[1], place[1]], color="tab:blue", linewidth=2)
            axes.plot([number - 0.5] * 2, [place[1], step.score], color="tab:blue", linewidth=2)
        axes.plot([number - 0.5, number + 0.5], [step.score] * 2, color="tab:blue", linewidth=2)
        if step.low is not None and step.high is not None:
            axes.vlines(number, step.low, step.high, color="tab:blue", alpha=0.5)
        gain = "" if step.gain is None else f" ({signed(step.gain.mean)})"
        axes.annotate(
            f"{step.score:.1f}{gain}",
            (number, step.score),
            textcoords="offset points",
            xytext=(0, 6),
            ha="center",
            fontsize=9,
        )
        place = (number + 0.5, step.score)
    for name, value in ladder.baselines.items():
        axes.axhline(value, color="tab:orange", linestyle="--", linewidth=1)
        axes.annotate(name, (len(ladder.steps) - 0.52, value), ha="right", va="bottom", fontsize=8, color="tab:orange")
    labels = [step.rung.name if step.rung.error is None else f"{step.rung.name}\n(failed)" for step in ladder.steps]
    axes.set_xticks(range(len(ladder.steps)), labels)
    axes.set(xlim=(-0.6, len(ladder.steps) - 0.4), ylabel=ladder.figure)
    axes.grid(alpha=0.3, axis="y")
    return drawing


def _row(step: Step) -> tuple[str, ...]:
    name = step.rung.name
    if step.rung.error is not None:
        return name, NOTHING, NOTHING, NOTHING, "failed", NOTHING, NOTHING
    ends = "" if step.low is None or step.high is None else f" [{step.low:.2f}, {step.high:.2f}]"
    score = NOTHING if step.score is None else f"{step.score:.2f}{ends}"
    gain, between, said = NOTHING, NOTHING, NOTHING
    if step.gain is not None:
        gain, between = signed(step.gain.mean), f"{signed(step.gain.low)} .. {signed(step.gain.high)}"
        said = verdict(step.gain, better="better", worse="worse")
    return name, score, gain, between, said, duration(step.seconds), ", ".join(step.passes) or NOTHING


def _reached(ladder: Ladder, baseline: str) -> str:
    return next((step.rung.name for step in ladder.steps if baseline in step.passes), NOTHING)


def _failed(ladder: Ladder) -> Iterator[tuple[str, str]]:
    return ((step.rung.name, step.rung.error) for step in ladder.steps if step.rung.error is not None)
