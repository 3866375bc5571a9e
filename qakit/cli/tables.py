"""Tables that several commands print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from qakit.cli.console import plain


def new_table(title: str | None, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """An empty table in the house style; ``numbers`` are columns aligned to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def pairs_table(title: str, pairs: Mapping[str, Any]) -> Table:
    """Names and values, one pair a row."""
    table = new_table(title, "", "")
    for name, value in pairs.items():
        table.add_row(plain(name.replace("_", " ")), plain(number(value)))
    return table


def groups_table(groups: Sequence[Mapping[str, Any]], counts: Mapping[str, Mapping[str, int]]) -> Table:
    """The optimiser's parameter groups, and what of the model trains."""
    table = new_table(
        "Parameter groups",
        "group",
        "parameters",
        "learning rate",
        "weight decay",
        numbers=("parameters", "learning rate", "weight decay"),
    )
    for group in groups:
        table.add_row(
            plain(group["group"]),
            f"{group['parameters']:,}",
            f"{group['learning_rate']:g}",
            f"{group['weight_decay']:g}",
        )
    both = counts["all"]
    share = 100 * both["trainable"] / both["total"]
    table.add_section()
    table.add_row("all trainable", f"{both['trainable']:,}", f"{share:.2f}%", f"of {both['total']:,}")
    return table


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
