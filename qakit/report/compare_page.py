"""A comparison as one HTML page."""

from __future__ import annotations

from qakit import __version__
from qakit.report.compare import Comparison
from qakit.report.compare_curves import comparison_figure
from qakit.report.compare_table import grids, method
from qakit.report.html import drawn_for_html, figure, heading, inline_svg, notes, page, paragraph, table


def html_page(comparison: Comparison) -> str:
    """Tables, curves and notes, with nothing to be fetched."""
    parts = [heading("Comparison", 1), paragraph(method(comparison), style="soft")]
    for grid in grids(comparison):
        parts += [heading(grid.title), table(grid)]
    with drawn_for_html():
        svg = inline_svg(comparison_figure(comparison), name="curves")
    parts += [heading("Curves"), figure(svg, "Training loss and validation figures over the epochs.")]
    parts += [*notes(comparison.notes), paragraph(f"qakit {__version__}", style="soft")]
    return page("Comparison of runs", parts)
