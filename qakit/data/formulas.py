"""Answers that a spreadsheet would compute instead of showing.

Competitions compare the exact text, so answer files hold it as it is; whoever opens such a file in a spreadsheet should
know before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

FORMULA = tuple("=+-@\t\r")
"""What a cell begins with that a spreadsheet takes for a formula."""


def begins_like_formula(text: str) -> bool:
    """Whether a spreadsheet would take the text for a formula."""
    return text.startswith(FORMULA)


def formula_cells(rows: Iterable[Sequence[str]]) -> int:
    """How many ids and texts a spreadsheet would take for a formula."""
    return sum(begins_like_formula(cell) for row in rows for cell in row)


def formula_notice(count: int) -> str | None:
    """A line for people about to open a file with so many such cells, or None where there is nothing to say."""
    if not count:
        return None
    begin = "1 id or answer begins" if count == 1 else f"{count:,} ids or answers begin"
    return (
        f"{begin} like a spreadsheet formula (=, +, -, @) and the file holds the exact text, as competitions want it: "
        "in a spreadsheet, import its columns as text"
    )
