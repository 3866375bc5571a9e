"""A study as a report: REPORT.md with its pictures, report.html with everything in it, and the tables of both."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from qakit import __version__
from qakit.files import write_text
from qakit.names import duration
from qakit.recipe.differences import unusual
from qakit.report.compare_table import NOTHING, Grid, changes, markdown_table, markdown_text, signed, verdict
from qakit.report.curves import save_picture
from qakit.report.html import code, drawn_for_html, figure, heading, inline_svg, notes, page, paragraph, table
from qakit.report.study import StudyResults, StudyRow, StudyTask
from qakit.report.study_pictures import pictures
from qakit.statistics import Spread

PICTURES = "pictures"


def write_report(results: StudyResults, folder: Path) -> tuple[Path, Path]:
    """Write both forms of the report; returns their paths.

    Raises:
        OutputError: the folder cannot be written.
    """
    text, html = folder / "REPORT.md", folder / "report.html"
    drawn = pictures(results)
    for each in drawn:
        save_picture(each.figure, folder / PICTURES / f"{each.name}.png", dpi=130)
    write_text(text, markdown(results, [(each.name, each.caption) for each in drawn]))
    write_text(html, html_page(results))
    return text, html


def markdown(results: StudyResults, drawn: list[tuple[str, str]]) -> str:
    """REPORT.md; ``drawn``: names and captions of the pictures beside it."""
    parts = [f"# {markdown_text(results.name)}"]
    parts += [markdown_text(results.description)] if results.description else []
    parts += [f"{counts_text(results)}.", method_text(results)]
    for grid in summary_grids(results):
        parts += [f"## {markdown_text(grid.title)}", markdown_table(grid)]
    if drawn:
        parts.append("## Pictures")
        parts += [
            f"![{markdown_text(caption)}]({PICTURES}/{name}.png)\n\n{markdown_text(caption)}" for name, caption in drawn
        ]
    failed = list(failures(results))
    if failed:
        parts.append("## Failed trials")
        parts += [f"**{markdown_text(name)}**\n\n{_indented(error)}" for name, error in failed]
    grid = trials_grid(results)
    parts += [f"## {grid.title}", markdown_table(grid)]
    if results.notes:
        parts += ["## Notes", "\n".join(f"- {markdown_text(note)}" for note in results.notes)]
    parts += ["## Made by", _indented(_commands(results)), f"qakit {__version__}"]
    return "\n\n".join(parts) + "\n"


def html_page(results: StudyResults) -> str:
    parts = [heading(results.name, 1)]
    parts += [paragraph(results.description, style="lead")] if results.description else []
    parts += [paragraph(f"{counts_text(results)}."), paragraph(method_text(results), style="soft")]
    for grid in summary_grids(results):
        parts += [heading(grid.title), table(grid)]
    with drawn_for_html():
        drawn = pictures(results)
        if drawn:
            parts.append(heading("Pictures"))
            parts += [
                figure(inline_svg(each.figure, name=f"picture{number}"), each.caption)
                for number, each in enumerate(drawn, 1)
            ]
    failed = list(failures(results))
    if failed:
        parts.append(heading("Failed trials", style="failed"))
        for name, error in failed:
            parts += [heading(name, 3), code(error)]
    parts += [heading("Trials"), table(trials_grid(results)), *notes(results.notes)]
    parts += [heading("Made by"), code(_commands(results)), paragraph(f"qakit {__version__}", style="soft")]
    return page(f"{results.name}: study", parts)


def _commands(results: StudyResults) -> str:
    return "\n".join(shlex.join(command) for command in results.commands) or "no command is known"


def _indented(text: str) -> str:
    """A block of code in Markdown that nothing in the text can end."""
    return "\n".join(f"    {line}" for line in text.splitlines())


COSTS = ("trainable", "share", "time", "memory")
BEST_SHOWN = 30
"""Rows of a search's table."""


def summary_grids(results: StudyResults) -> list[Grid]:
    """For each task its rows and their differences."""
    grids = []
    for task in results.tasks:
        grids.append(rows_grid(task, is_search=results.is_search))
        if task.differences and not results.is_search:
            grids.append(differences_grid(task))
    return grids


def rows_grid(task: StudyTask, *, is_search: bool = False) -> Grid:
    """The rows; those of a search best first. Of a recipe, what most of the rows have goes without saying."""
    rows = task.rows
    if is_search and task.keys:
        rows = tuple(sorted(rows, key=lambda row: -row.figures[task.keys[0]].mean))[:BEST_SHOWN]
    cells = tuple(
        (
            row.label,
            changes(special),
            str(len(row.runs)),
            *(spread_text(row.figures[key]) for key in task.keys),
            NOTHING if row.trainable is None else f"{row.trainable:,}",
            share_text(row),
            duration(row.seconds),
            memory(row.peak_memory_mb),
        )
        for row, special in zip(rows, unusual([row.differs for row in rows]), strict=True)
    )
    columns = ("row", "recipe", "runs", *task.keys, *COSTS)
    return Grid(f"{task.name}: results" if task.name else "Results", columns, cells, columns[2:])


def differences_grid(task: StudyTask) -> Grid:
    """How the rows differ from the baseline."""
    columns = ("row", "compared with", "figure", "difference", "95% interval", "other side", "verdict")
    cells = tuple(
        (
            each.first,
            each.second,
            each.figure,
            signed(each.difference.mean),
            f"{signed(each.difference.low)} .. {signed(each.difference.high)}",
            f"{100 * each.difference.opposite:.1f}%",
            verdict(each.difference, better=f"{each.first} is better", worse=f"{each.second} is better"),
        )
        for each in task.differences
    )
    title = f"differences, paired over {task.questions:,} questions"
    return Grid(f"{task.name}: {title}" if task.name else title.capitalize(), columns, cells, columns[3:6])


def trials_grid(results: StudyResults) -> Grid:
    figures = {task.name: task.figure for task in results.tasks}
    cells = []
    for run in results.runs:
        value = run.figures.get(figures.get(run.task, ""))
        cells.append(
            (
                run.name,
                run.state,
                NOTHING if value is None else f"{figures[run.task]} {value:.2f}",
                duration(run.seconds),
                memory(run.peak_memory_mb),
            )
        )
    return Grid("Trials", ("run", "state", "figure", "time", "memory"), tuple(cells), ("figure", "time", "memory"))


def counts_text(results: StudyResults) -> str:
    """How many trials are in which state."""
    states = ("finished", "pruned", "failed", "interrupted", "running", "waiting")
    return ", ".join(f"{results.count(state)} {state}" for state in states if results.count(state))


def method_text(results: StudyResults) -> str:
    """What the tables show, and how the differences were found."""
    sampling = results.sampling
    return (
        "Figures are those of the best weights on validation. Differences: paired bootstrap over the questions, "
        f"{sampling.resamples:,} resamples, seed {sampling.seed}; where the interval holds 0, two rows cannot be told "
        "apart. Of the rows' recipes, values that more than half of the rows have are left out."
    )


def spread_text(spread: Spread) -> str:
    """``90.12 ± 0.31 (89.80 .. 90.43)``, or just the value of a single run."""
    if spread.sd is None:
        return f"{spread.mean:.2f}"
    return f"{spread.mean:.2f} ± {spread.sd:.2f} ({spread.low:.2f} .. {spread.high:.2f})"


def share_text(row: StudyRow) -> str:
    """The trainable share of the model."""
    if row.trainable is None or not row.total:
        return NOTHING
    return f"{100 * row.trainable / row.total:.3g}%"


def memory(megabytes: float | None) -> str:
    if megabytes is None:
        return NOTHING
    return f"{megabytes / 1024:.1f} GiB" if megabytes >= 10_000 else f"{megabytes:,.0f} MiB"


def failures(results: StudyResults) -> Iterator[tuple[str, str]]:
    """The failed trials with what they said."""
    for run in results.runs:
        if run.state == "failed":
            yield run.name, run.error.strip() or "no reason was given"
