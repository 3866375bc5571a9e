"""A study's report: REPORT.md with its pictures, and report.html with everything in it."""

from __future__ import annotations

import shlex
from pathlib import Path

from qakit import __version__
from qakit.files import write_text
from qakit.report.compare_table import markdown_table, markdown_text
from qakit.report.html import code, drawn_for_html, figure, heading, inline_svg, notes, page, paragraph, table
from qakit.report.pictures import save_picture
from qakit.report.study import StudyResults
from qakit.report.study_pictures import pictures
from qakit.report.study_tables import counts_text, failures, method_text, summary_grids, trials_grid

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
    """report.html."""
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
