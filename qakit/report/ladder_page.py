"""A ladder as tables, Markdown, an HTML page and a picture of stairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qakit import __version__
from qakit.duration import duration
from qakit.files import write_json, write_text
from qakit.report.compare_table import NOTHING, Grid, changes, markdown_table, markdown_text, signed, verdict
from qakit.report.html import code, drawn_for_html, figure, heading, inline_svg, notes, page, paragraph, table
from qakit.report.ladder import Ladder, Step
from qakit.report.pictures import save_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    """ladder.md."""
    parts = ["# Ladder", method(ladder), f"![{CAPTION}]({PICTURE})"]
    for grid in grids(ladder):
        parts += [f"## {markdown_text(grid.title)}", markdown_table(grid)]
    for name, error in _failed(ladder):
        indented = "\n".join(f"    {line}" for line in error.splitlines())
        parts += [f"## Failed: {markdown_text(name)}", indented]
    parts += ["\n".join(f"- {markdown_text(note)}" for note in ladder.notes), f"qakit {__version__}"]
    return "\n\n".join(parts) + "\n"


def html_page(ladder: Ladder) -> str:
    """ladder.html."""
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
