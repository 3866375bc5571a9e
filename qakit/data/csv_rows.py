"""CSV as it is written here."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
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
