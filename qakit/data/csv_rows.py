"""CSV as it is written here, and what a spreadsheet would compute in it instead of showing."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol


class Text(Protocol):
    """Takes text as it is: a file that was opened with ``newline=""``, or ``io.StringIO``."""

    def write(self, text: str, /) -> object:
        """Add it at the end."""
        ...


def csv_rows(file: Text) -> Callable[[Iterable[Any]], object]:
    r"""What writes one row of cells after the other; None is an empty cell.

    Lines end in ``\r\n``, as RFC 4180 has it: the module quotes a lone carriage return only if it is in the line end.
    """
    return csv.writer(file, lineterminator="\r\n").writerow


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
