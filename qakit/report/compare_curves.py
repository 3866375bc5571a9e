"""compare.png: the runs' training loss and validation figures over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qakit.files import atomic_path
from qakit.report.compare import Comparison, Group
from qakit.report.compare_table import changes

LOSS = "loss"
COLOURS = 10
"""Of matplotlib's own cycle."""
STYLES = ("-", "--", ":", "-.")
"""Of lines, when the colours have all been used."""


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """A panel for the loss and one for each figure; a group is one colour, thin for its runs and thick for their mean.

    Raises:
        OutputError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    panels = (LOSS, *comparison.keys)
    figure = Figure(figsize=(4.8 * len(panels), 4 + 0.25 * len(comparison.groups)), layout="constrained")
    handles, names = [], []
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for number, group in enumerate(comparison.groups):
        style = {"color": f"C{number % COLOURS}", "linestyle": STYLES[number // COLOURS % len(STYLES)]}
        for axes, key in zip(all_axes, panels, strict=True):
            handle = _draw(axes, [_points(comparison.members[index].log, key) for index in group.members], key, style)
        handles.append(handle)
        names.append(_name(group))
    for axes, key in zip(all_axes, panels, strict=True):
        title = "Training loss" if key == LOSS else f"Validation: {key}"
        axes.set_title(title, parse_math=False)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    legend = figure.legend(handles, names, loc="outside lower center", fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a run's name is a $
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw(axes: Any, curves: Sequence[Sequence[tuple[float, float]]], key: str, style: Mapping[str, Any]) -> Any:
    """Draw a group's curves; returns the line that stands for it in the legend."""
    marker = "" if key == LOSS else "o"
    known = [curve for curve in curves if curve]
    if len(known) > 1:
        for curve in known:
            axes.plot(*zip(*curve, strict=True), linewidth=0.7, alpha=0.6, **style)
        known = [mean_curve(known)]
    xs, ys = zip(*known[0], strict=True) if known and known[0] else ((), ())
    (line,) = axes.plot(xs, ys, linewidth=2.2, marker=marker, markersize=4, **style)
    return line


def mean_curve(curves: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean of several curves, at the first one's places as far as all of them reach; straight between points."""
    import numpy as np

    columns = [np.array(curve, dtype=np.float64).T for curve in curves]
    start, stop = max(xs[0] for xs, _ in columns), min(xs[-1] for xs, _ in columns)
    places = columns[0][0]
    places = places[(places >= start) & (places <= stop)]
    means = np.mean([np.interp(places, xs, ys) for xs, ys in columns], axis=0)
    return list(zip(places.tolist(), means.tolist(), strict=True))


def _points(log: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """(epoch, value) of the lines that have the figure, in order."""
    kind = "train" if key == LOSS else "evaluation"
    lines = [line for line in log if line["type"] == kind]
    both = [(line.get("epoch"), line.get(key)) for line in lines]
    return sorted((x, y) for x, y in both if isinstance(x, int | float) and isinstance(y, int | float))


def _name(group: Group) -> str:
    special = changes(group.differs) if group.differs else ""
    name = f"{group.label}: {special}" if special else group.label
    return f" {name}" if name.startswith("_") else name  # matplotlib leaves out names that begin with _
