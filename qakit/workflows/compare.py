"""Runs side by side, and the report on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.report.compare import Comparison


def compare(
    runs: Sequence[Path],
    *,
    figures: Sequence[str] = (),
    baseline: Path | None = None,
    all_pairs: bool = False,
    by_seed: bool = True,
    resamples: int = 10_000,
    seed: int = 0,
    output: Path | None = None,
) -> Comparison:
    """Compare runs on the validation questions by paired bootstrap.

    Args:
        runs: folders, two or more.
        figures: those of the metric that are wanted; by default all of them.
        baseline: the run that the others are compared with; by default the first.
        all_pairs: compare every pair, not only with the baseline.
        by_seed: take runs that differ only in their seed as one group.
        resamples: of the bootstrap.
        seed: of the resamples.
        output: a folder for ``compare.md``, ``compare.json`` and ``compare.png``; or one page, ``NAME.html``.

    Raises:
        UsageError: the runs cannot be compared: other questions, another metric, fewer than two; or ``output`` holds a
            ``compare.md`` of one's own.
        RunError: a folder is no run, or has no validation predictions.
    """
    from qakit.outputs import check_reports
    from qakit.registry import load_registry
    from qakit.report.compare import Plan
    from qakit.report.compare import compare as compare_members
    from qakit.report.compare_runs import read_members

    if len(runs) < 2:
        raise UsageError("a comparison needs at least two runs (`qakit runs list` shows them)")
    page = output is not None and output.suffix == ".html" and not output.is_dir()
    if output is not None and output.exists() and not (output.is_dir() or page):
        raise UsageError(f"--output {output} is a file; name a folder, or a page: NAME.html")
    if output is not None and not page:
        check_reports(output / "compare.md")
    plan = Plan(
        keys=tuple(figures),
        baseline=_position(baseline, runs),
        all_pairs=all_pairs,
        by_seed=by_seed,
        resamples=resamples,
        seed=seed,
    )
    comparison = compare_members(read_members(runs, load_registry()), plan)
    if output is not None and page:
        _write_page(comparison, output)
    elif output is not None:
        _write(comparison, output)
    return comparison


def _position(baseline: Path | None, runs: Sequence[Path]) -> int:
    if baseline is None:
        return 0
    folders = [run.resolve() for run in runs]
    if baseline.resolve() not in folders:
        raise UsageError(f"--baseline {baseline} is none of the runs; name one of them")
    return folders.index(baseline.resolve())


def _write(comparison: Comparison, folder: Path) -> None:
    from qakit.files import write_json, write_text
    from qakit.report.compare_curves import comparison_figure
    from qakit.report.compare_table import markdown
    from qakit.report.curves import save_picture

    picture = folder / "compare.png"
    save_picture(comparison_figure(comparison), picture)
    write_json(folder / "compare.json", comparison.as_json())
    write_text(folder / "compare.md", markdown(comparison, picture=picture.name))


def _write_page(comparison: Comparison, page: Path) -> None:
    """Tables, curves and notes, with nothing to be fetched."""
    from qakit import __version__
    from qakit.files import write_text
    from qakit.report import html
    from qakit.report.compare_curves import comparison_figure
    from qakit.report.compare_table import grids, method

    parts = [html.heading("Comparison", 1), html.paragraph(method(comparison), style="soft")]
    for grid in grids(comparison):
        parts += [html.heading(grid.title), html.table(grid)]
    with html.drawn_for_html():
        svg = html.inline_svg(comparison_figure(comparison), name="curves")
    parts += [html.heading("Curves"), html.figure(svg, "Training loss and validation figures over the epochs.")]
    parts += [*html.notes(comparison.notes), html.paragraph(f"qakit {__version__}", style="soft")]
    write_text(page, html.page("Comparison of runs", parts))
