"""Tables that several commands print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from qakit.cli.terminal.console import out, plain

if TYPE_CHECKING:
    from qakit.report.compare_table import Grid


def table_of(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object] | None], *, numbers: Sequence[str] = ()
) -> Table:
    """A table in the house style.

    Args:
        rows: their cells, texts as they are or styled by :func:`plain`; None stands for a line between two rows.
        numbers: columns that are aligned to the right.
    """
    heading = None if title is None else plain(title)
    table = Table(title=heading, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(plain(column), justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    return table


def print_table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object] | None], *, numbers: Sequence[str] = ()
) -> None:
    """Print what :func:`table_of` makes."""
    out.print(table_of(title, columns, rows, numbers=numbers))


def print_grids(grids: Iterable[Grid], notes: Iterable[str]) -> None:
    """Print the tables of a report, and what is to be said about them."""
    for grid in grids:
        print_table(grid.title, grid.columns, grid.rows, numbers=grid.numbers)
    for note in notes:
        out.print(plain(f"note: {note}"))


def print_pairs(title: str, pairs: Mapping[str, Any]) -> None:
    """Print names and values, one pair a row."""
    print_table(title, ("", ""), ((name.replace("_", " "), number(value)) for name, value in pairs.items()))


def modules_table(modules: Sequence[Mapping[str, Any]]) -> Table:
    """What of each part of the model trains; neighbouring layers with the same numbers share a row."""
    numbers = ("trainable", "total", "share")
    rows = [(row["module"], *_counts(row["trainable"], row["total"])) for row in _grouped(modules)]
    total = _counts(*(sum(row[key] for row in modules) for key in ("trainable", "total")))
    return table_of("Parameters", ("module", *numbers), (*rows, None, ("all", *total)), numbers=numbers)


def _grouped(modules: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of :func:`modules_table`: neighbouring layers of the same numbers added up, as ``layers 0-11``."""

    def alike(row: Mapping[str, Any]) -> tuple[Any, ...]:
        kind, _, number = row["module"].partition(" ")
        return (kind if number.isdigit() else row["module"], row["trainable"], row["total"])

    for _, group in groupby(modules, key=alike):
        rows = list(group)
        first, last = rows[0]["module"], rows[-1]["module"]
        name = first if len(rows) == 1 else f"layers {first.split()[1]}-{last.split()[1]}"
        yield {"module": name} | {key: sum(row[key] for row in rows) for key in ("trainable", "total")}


def _counts(trainable: int, total: int) -> tuple[str, str, str]:
    return f"{trainable:,}", f"{total:,}", f"{100 * trainable / total:.2f}%"


def number(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "-"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2e}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number(item)}" for name, item in value.items())
    return str(value)


def size(count: int) -> str:
    """Bytes as people read them."""
    if count < 1e5:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
