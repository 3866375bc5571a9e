"""A comparison as tables of texts, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qakit.report.compare import Comparison, Estimate
from qakit.statistics import Difference

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: its cells as texts, for whoever shows it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[str, ...]
    """Columns that are aligned to the right."""
    clock: tuple[str, ...] = ()
    """Those of them that the clock measured: two runs of the same bits differ in them."""


def grids(comparison: Comparison) -> list[Grid]:
    """The runs; the groups, if there are any of several seeds; the differences, if there is something to compare."""
    found = [_runs(comparison)]
    if any(group.spreads for group in comparison.groups):
        found.append(_groups(comparison))
    if comparison.pairs:
        found.append(_differences(comparison))
    return found


def markdown(comparison: Comparison, *, picture: str) -> str:
    """compare.md."""
    parts = ["# Comparison", method(comparison, mark="`")]
    for grid in grids(comparison):
        parts += [f"## {grid.title}", markdown_table(grid)]
    if comparison.notes:
        parts.append("\n".join(f"- {markdown_text(note)}" for note in comparison.notes))
    parts.append(f"![Training loss and validation figures over the epochs]({picture})")
    return "\n\n".join(parts) + "\n"


def method(comparison: Comparison, *, mark: str = "") -> str:
    """How the figures were found; ``mark`` stands around the metric's name."""
    plan = comparison.plan
    return (
        f"{comparison.questions:,} questions, metric {mark}{comparison.members[0].recipe.metric.name}{mark}. "
        f"{100 * comparison.level:g}% intervals: percentile bootstrap over questions, {plan.resamples:,} resamples, "
        f"seed {plan.seed}{'; differences are paired by question' if comparison.pairs else ''}."
    )


def markdown_table(grid: Grid) -> str:
    ends = ["---:" if column in grid.numbers else "---" for column in grid.columns]
    rows = (_line([markdown_text(text) for text in row]) for row in grid.rows)
    return "\n".join([_line([markdown_text(column) for column in grid.columns]), _line(ends), *rows])


def changes(differs: Mapping[str, str]) -> str:
    """What is special about a recipe: ``head=crf, train.epochs=3``."""
    return ", ".join(f"{key}={value}" for key, value in differs.items()) or NOTHING


def _runs(comparison: Comparison) -> Grid:
    speeds = ("s/step", "train windows/s", "evaluation windows/s")
    costs = ("trainable", *speeds)
    figures = tuple(f"{key} [{100 * comparison.level:g}%]" for key in comparison.keys)
    rows = []
    for index, member in enumerate(comparison.members):
        estimates = comparison.estimates[index]
        rows.append(
            (
                comparison.labels[index],
                changes(comparison.differs[index]),
                *(_estimate(estimates[key]) for key in comparison.keys),
                NOTHING if member.trainable is None else f"{member.trainable:,}",
                _number(member.speeds.seconds_per_step, ".3g"),
                _number(member.speeds.train_windows, ",.1f"),
                _number(member.speeds.evaluation_windows, ",.1f"),
            )
        )
    return Grid("Runs", ("run", "recipe", *figures, *costs), tuple(rows), (*figures, *costs), clock=speeds)


def _groups(comparison: Comparison) -> Grid:
    columns = ("group", "runs", "figure", f"mean [{100 * comparison.level:g}%]", "min .. max over seeds", "sd")
    rows = []
    for group in comparison.groups:
        for key in comparison.keys:
            spread = group.spreads.get(key)
            rows.append(
                (
                    group.label,
                    ", ".join(comparison.labels[index] for index in group.members),
                    key,
                    _estimate(group.estimates[key]),
                    NOTHING if spread is None else f"{spread.low:.2f} .. {spread.high:.2f}",
                    NOTHING if spread is None else f"{spread.sd:.2f}",
                )
            )
    return Grid("Groups of seeds", columns, tuple(rows), columns[3:])


def _differences(comparison: Comparison) -> Grid:
    interval = f"{100 * comparison.level:g}% interval"
    columns = ("first", "second", "figure", "first - second", interval, "other side", "verdict")
    rows = tuple(
        (
            comparison.groups[pair.first].label,
            comparison.groups[pair.second].label,
            pair.key,
            signed(pair.difference.mean),
            f"{signed(pair.difference.low)} .. {signed(pair.difference.high)}",
            f"{100 * pair.difference.opposite:.1f}%",
            verdict(pair.difference),
        )
        for pair in comparison.pairs
    )
    return Grid("Differences, paired by question", columns, rows, columns[3:6])


def verdict(difference: Difference, *, better: str = "first is better", worse: str = "second is better") -> str:
    """What a difference says, in words."""
    if not difference.distinguishable:
        return "not distinguishable"
    return better if difference.mean > 0 else worse


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def signed(value: float) -> str:
    """A difference, always with its sign."""
    return f"{round(value, 2) + 0.0:+.2f}"  # + 0.0: no "-0.00"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def markdown_text(text: str) -> str:
    """Text that stays in its cell and is no markup."""
    text = " ".join(text.split())
    for char in "\\`*_[]<>|":
        text = text.replace(char, f"\\{char}")
    return text
