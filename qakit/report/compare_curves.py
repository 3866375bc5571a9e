"""The runs' training loss and validation figures over the epochs: compare.png, and the curves of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qakit.report.compare import Comparison, Group
from qakit.report.compare_table import changes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS = "loss"
LEGEND_CHARACTERS = 60
"""Of the names in the legend, below each panel."""
COLOURS = 10
"""Of matplotlib's own cycle."""
STYLES = ("-", "--", ":", "-.")
"""Of lines, when the colours have all been used."""


@dataclass(frozen=True, slots=True)
class Curves:
    """The runs of one colour."""

    name: str
    logs: Sequence[Sequence[Mapping[str, Any]]]
    """Of each run, the lines of metrics.jsonl."""


def comparison_figure(comparison: Comparison) -> Figure:
    """The comparison's curves as matplotlib's figure."""
    groups = [
        Curves(_name(group), [comparison.members[index].log for index in group.members]) for group in comparison.groups
    ]
    return curves_figure({"": groups}, {"": comparison.keys})


def curves_figure(parts: Mapping[str, Sequence[Curves]], keys: Mapping[str, Sequence[str]]) -> Figure:
    """A row of panels for each part, by its name: the loss, and each of the part's figures.

    A group is one colour, thin for its runs and thick for their mean; groups of the same name have the same colour in
    all parts.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(group.name for groups in parts.values() for group in groups))
    columns = 1 + max(map(len, keys.values()))
    abreast = min(len(names), max(1, columns * LEGEND_CHARACTERS // (4 + max(map(len, names), default=0))))
    height = 4 * len(parts) + 0.25 * -(-len(names) // max(1, abreast))
    figure = Figure(figsize=(4.8 * columns, height), layout="constrained")
    handles: dict[str, Any] = {}
    for row, (part, groups) in zip(figure.subplots(len(parts), columns, squeeze=False), parts.items(), strict=True):
        panels = (LOSS, *keys[part])
        for axes, key in zip(row, panels, strict=False):
            for group in groups:
                number = names.index(group.name)
                style = {"color": f"C{number % COLOURS}", "linestyle": STYLES[number // COLOURS % len(STYLES)]}
                handles[group.name] = _draw(axes, [_points(log, key) for log in group.logs], key, style)
            title = "Training loss" if key == LOSS else f"Validation: {key}"
            axes.set_title(titled(part, title), parse_math=False)
            axes.set_xlabel("epoch")
            axes.grid(alpha=0.3)
        for axes in row[len(panels) :]:
            axes.set_axis_off()
    shown = [f" {name}" if name.startswith("_") else name for name in handles]  # matplotlib leaves out names with a _
    legend = figure.legend(
        handles.values(), shown, loc="outside lower center", fontsize=8, ncols=max(1, abreast), frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a run's name is a $
    return figure


def titled(part: str, title: str) -> str:
    """What is shown, of which part; of a part without a name what is shown alone."""
    return f"{part}: {title[:1].lower()}{title[1:]}" if part else title


def _draw(axes: Any, curves: Sequence[Sequence[tuple[float, float]]], key: str, style: Mapping[str, Any]) -> Any:
    """Draw a group's curves; returns the line that stands for it in the legend."""
    known = [curve for curve in curves if curve]
    if len(known) > 1:
        for curve in known:
            alone = "." if len(curve) == 1 else ""  # a line of one point shows nothing
            axes.plot(*zip(*curve, strict=True), linewidth=0.7, alpha=0.6, marker=alone, **style)
        known = [mean_curve(known)]
    xs, ys = zip(*known[0], strict=True) if known and known[0] else ((), ())
    marker = "" if key == LOSS and len(xs) > 1 else "o"
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
    return f"{group.label}: {special}" if special else group.label
