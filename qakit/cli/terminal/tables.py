"""Tables that several commands print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.table import Table

from qakit.cli.terminal.console import plain


def new_table(title: str | None, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """An empty table in the house style; ``numbers`` are columns aligned to the right."""
    heading = None if title is None else plain(title)
    table = Table(title=heading, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(plain(column), justify="right" if column in numbers else "left", overflow="fold")
    return table


def pairs_table(title: str, pairs: Mapping[str, Any]) -> Table:
    """Names and values, one pair a row."""
    table = new_table(title, "", "")
    for name, value in pairs.items():
        table.add_row(plain(name.replace("_", " ")), plain(number(value)))
    return table


def groups_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    """The optimiser's parameter groups."""
    numbers = ("parameters", "peak rate", "weight decay")
    table = new_table("Parameter groups", "group", *numbers, numbers=numbers)
    for group in groups:
        table.add_row(
            plain(group["group"]),
            f"{group['parameters']:,}",
            f"{group['learning_rate']:.3g}",
            f"{group['weight_decay']:g}",
        )
    return table


def modules_table(modules: Sequence[Mapping[str, Any]]) -> Table:
    """What of each part of the model trains; neighbouring layers with the same numbers share a row."""
    numbers = ("trainable", "total", "share")
    table = new_table("Parameters", "module", *numbers, numbers=numbers)
    for row in _grouped(modules):
        table.add_row(plain(row["module"]), *_counts(row["trainable"], row["total"]))
    table.add_section()
    table.add_row("all", *_counts(*(sum(row[key] for row in modules) for key in ("trainable", "total"))))
    return table


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
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
