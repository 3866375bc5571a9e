"""A study's pictures: curves of all runs, score and parameters against a number of the recipe, time and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qakit.numbers import finite_or_none
from qakit.recipe.syntax import resolve
from qakit.report.compare_curves import COLOURS, Curves, curves_figure, titled
from qakit.report.study import StudyResults, StudyRow, StudyTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOG_FROM = 8
"""A number that grows by this factor or more is drawn on a logarithmic axis."""
MOST_CURVES = 12
"""Rows whose curves are drawn; of more, the best."""
MOST_BARS = 30
MOST_TICKS = 8
"""Numbers that are written at an axis and at points."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with a name for its file and a sentence for its reader."""

    name: str
    caption: str
    figure: Figure


def pictures(results: StudyResults) -> list[Picture]:
    """All pictures for which there is something to draw."""
    found = [_curves(results)] if any(run.log for run in results.runs) else []
    for task in results.tasks:
        keys = numeric_keys(task.rows) if task.keys else []
        found += [_against(task, key, is_search=results.is_search) for key in keys]
        counts = {row.trainable for row in task.rows}
        if task.keys and len(counts - {None}) > 1:
            found.append(_parameters(task))
    costs = [task for task in results.tasks if any(row.seconds is not None for row in task.rows)]
    return [*found, _costs(costs)] if costs else found


def numeric_keys(rows: Sequence[StudyRow]) -> list[str]:
    """Recipe keys that have three or more different numbers in rows that are otherwise alike but for numbers."""
    keys = dict.fromkeys(key for row in rows for key in row.differs)
    found = []
    for key in keys:
        groups: dict[str, set[float]] = {}
        for row in rows:
            value = _number(row, key)
            if value is not None:
                groups.setdefault(_others(row), set()).add(value)
        if any(len(values) > 2 for values in groups.values()):
            found.append(key)
    return found


def _curves(results: StudyResults) -> Picture:
    parts, keys, left_out = {}, {}, False
    for task in results.tasks:
        rows = sorted(task.rows, key=lambda row: -row.figures[task.keys[0]].mean) if task.keys else list(task.rows)
        chosen = set(map(id, rows[:MOST_CURVES]))
        left_out = left_out or len(rows) > MOST_CURVES
        parts[task.name] = [
            Curves(row.label, [run.log for run in row.runs if run.log]) for row in task.rows if id(row) in chosen
        ]
        keys[task.name] = task.keys[:2]
    caption = (
        "Training loss and validation figures of all runs: a colour is a row, thin lines its seeds, thick their mean."
    )
    if left_out:
        caption += f" The {MOST_CURVES} best rows are drawn."
    return Picture("curves", caption, curves_figure(parts, keys))


def _against(task: StudyTask, key: str, *, is_search: bool) -> Picture:
    """The score against a number of the recipe, and the trainable parameters against it where they change."""
    from matplotlib.figure import Figure

    figure_name = task.keys[0]
    rows = [row for row in task.rows if _number(row, key) is not None]
    with_counts = len({row.trainable for row in rows} - {None}) > 1
    figure = Figure(figsize=(4.8 * (1 + with_counts), 3.6), layout="constrained")
    panels = figure.subplots(1, 1 + with_counts, squeeze=False)[0]
    for number, (name, group) in enumerate(_groups(rows, key).items()):
        group = sorted(group, key=lambda row: _number(row, key) or 0.0)
        xs = [_number(row, key) for row in group]
        colour = f"C{number % COLOURS}"
        connected = not is_search and len(set(xs)) == len(xs)
        means = [row.figures[figure_name].mean for row in group]
        errors = [row.figures[figure_name].sd or 0.0 for row in group]
        panels[0].errorbar(
            xs, means, yerr=errors, fmt="o-" if connected else "o", color=colour, capsize=3, label=name, markersize=5
        )
        for row in group if not is_search else ():
            values = [run.figures[figure_name] for run in row.runs]
            panels[0].plot([_number(row, key)] * len(values), values, ".", color=colour, alpha=0.5)
        if with_counts:
            both = [(x, row.trainable) for x, row in zip(xs, group, strict=True) if row.trainable is not None]
            panels[1].plot(*zip(*both, strict=True), "o-" if connected else "o", color=colour, markersize=5)
            panels[1].set_yscale("log")
            for x, count in both if len(both) <= MOST_TICKS else ():
                panels[1].annotate(
                    f"{count:,}", (x, count), xytext=(0, 7), textcoords="offset points", fontsize=7, ha="center"
                )
    labels = [name for name in _groups(rows, key) if name]
    values = sorted({value for row in rows if (value := _number(row, key)) is not None})
    for axes, title in zip(panels, (f"Validation: {figure_name}", "Trainable parameters"), strict=False):
        _number_axis(axes, values)
        axes.set_xlabel(key, parse_math=False)
        axes.set_title(titled(task.name, title), parse_math=False)
        axes.margins(x=0.09, y=0.12)
        axes.grid(alpha=0.3)
    if labels:
        for text in panels[0].legend(fontsize=8).get_texts():
            text.set_parse_math(False)
    where = f" on {task.name}" if task.name else ""
    spread = " Bars: standard deviation over the seeds." if any(len(row.runs) > 1 for row in rows) else ""
    return Picture(_file_name(task, key), f"{figure_name}{where} against {key}.{spread}", figure)


def _parameters(task: StudyTask) -> Picture:
    """The score against the trainable parameters."""
    from matplotlib.figure import Figure

    figure_name = task.keys[0]
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    points = [(row, row.trainable) for row in task.rows if row.trainable]
    labelled = len(points) <= MOST_CURVES
    for number, (row, count) in enumerate(points):
        spread, colour = row.figures[figure_name], f"C{number % COLOURS}" if labelled else "C0"
        axes.errorbar([count], [spread.mean], yerr=[spread.sd or 0.0], fmt="o", color=colour, capsize=3)
        if labelled:
            axes.annotate(
                row.label,
                (count, spread.mean),
                xytext=(6, 5),
                textcoords="offset points",
                fontsize=8,
                parse_math=False,
            )
    axes.set_xscale("log")
    axes.margins(x=0.18, y=0.15)
    axes.set_xlabel("trainable parameters")
    axes.set_ylabel(figure_name, parse_math=False)
    axes.set_title(titled(task.name, "Score against trainable parameters"), parse_math=False)
    axes.grid(alpha=0.3)
    where = f" on {task.name}" if task.name else ""
    return Picture(_file_name(task, "parameters"), f"{figure_name}{where} against the trainable parameters.", figure)


def _costs(tasks: Sequence[StudyTask]) -> Picture:
    """Time and peak memory of a training, a bar for each row."""
    from matplotlib.figure import Figure

    has_memory = any(row.peak_memory_mb is not None for task in tasks for row in task.rows)
    rows_drawn = [task.rows[:MOST_BARS] for task in tasks]
    height = sum(1.0 + 0.3 * len(rows) for rows in rows_drawn)
    figure = Figure(figsize=(4.8 * (1 + has_memory), height), layout="constrained")
    grid = figure.subplots(
        len(tasks), 1 + has_memory, squeeze=False, height_ratios=[1.0 + 0.3 * len(rows) for rows in rows_drawn]
    )
    for panels, task, rows in zip(grid, tasks, rows_drawn, strict=True):
        colours = [f"C{number % COLOURS}" for number in range(len(rows))]
        places = list(range(len(rows)))
        minutes = any((row.seconds or 0) >= 120 for row in rows)
        times = [math.nan if row.seconds is None else row.seconds / (60 if minutes else 1) for row in rows]
        sizes = [math.nan if row.peak_memory_mb is None else row.peak_memory_mb for row in rows]
        titles = (f"Time of a training ({'minutes' if minutes else 'seconds'})", "Peak memory (MiB)")
        for axes, values, title in zip(panels, (times, sizes), titles, strict=False):
            bars = axes.barh(places, values, color=colours, height=0.65)
            axes.bar_label(bars, fmt="%.3g" if axes is panels[0] else "%.0f", padding=3, fontsize=8)
            axes.set_yticks(places, [row.label for row in rows] if axes is panels[0] else [""] * len(rows), fontsize=8)
            for text in axes.get_yticklabels():
                text.set_parse_math(False)
            axes.invert_yaxis()
            axes.margins(x=0.15)
            axes.set_title(titled(task.name, title), fontsize=10, parse_math=False)
            axes.grid(axis="x", alpha=0.3)
    return Picture("costs", "Time of a training (mean over the seeds) and its peak memory (the largest).", figure)


def _groups(rows: Sequence[StudyRow], key: str) -> dict[str, list[StudyRow]]:
    """Rows that differ in nothing but the number; where that leaves all of them single, in nothing but numbers."""
    exact: dict[str, list[StudyRow]] = {}
    loose: dict[str, list[StudyRow]] = {}
    for row in rows:
        rest = ", ".join(f"{name}={value}" for name, value in row.differs.items() if name != key)
        exact.setdefault(rest, []).append(row)
        loose.setdefault(_others(row), []).append(row)
    groups = exact if any(len(group) > 1 for group in exact.values()) else loose
    return groups if len(groups) > 1 else {"": list(rows)}


def _others(row: StudyRow) -> str:
    """What differs in the row apart from numbers."""
    return ", ".join(f"{name}={value}" for name, value in row.differs.items() if finite_or_none(resolve(value)) is None)


def _number(row: StudyRow, key: str) -> float | None:
    return finite_or_none(resolve(row.differs[key])) if key in row.differs else None


def _number_axis(axes: Any, values: Sequence[float]) -> None:
    """Logarithmic where the numbers span orders of magnitude; ticks at the numbers themselves where they are few."""
    if values[0] > 0 and values[-1] / values[0] >= LOG_FROM:
        axes.set_xscale("log")
    if len(values) <= MOST_TICKS:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()


def _file_name(task: StudyTask, what: str) -> str:
    kept = "".join(char if char.isalnum() or char in "._-" else "-" for char in what)
    return f"{task.name}-{kept}" if task.name else kept
