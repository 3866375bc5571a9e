"""Rows of CSV and TSV files, streamed.

Not through ``datasets``: its pandas reader shifts all columns by one without a word when rows have one cell more than
the header, and cannot tell a short row from one with empty cells. Cells are text; nothing becomes a number or a null.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from qakit.api import DataError, Problems
from qakit.reading.files import LONGEST, text_lines
from qakit.reading.record import quoted

_SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
"""Excel's own first line."""
_DOUBLED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
"""A whole cell in quotation marks that needs them for those within."""
_OPEN = re.compile(r'"(?:[^"]|"")+')
"""A cell whose quotation mark is not closed: a tab or line end follows that belongs to it."""

SEPARATORS = ",;\t|"
"""What separates cells in files that are called CSV or TSV."""

Row = tuple[int, str, dict[str, Any]]
"""Number from 0, name for messages, values by column."""


def delimited_rows(path: Path, problems: Problems, *, separator: str, quotes: bool | None) -> Iterator[Row]:
    """The rows below the header; blank lines are skipped, rows of another width are judged as ``bad_row``.

    Args:
        path: the file.
        problems: what to do about rows of another width.
        separator: one character; a first line such as ``sep=;`` names another.
        quotes: whether quotation marks enclose cells (then cells may hold line ends); else they are text. None: they
            are text, and cells that seem to be enclosed are refused.

    Raises:
        DataError: the file is not UTF-8, its quotation marks do not match, or nobody said what they mean.
    """
    lines = text_lines(path, keep_ends=True)
    first = next(lines, (1, ""))
    if said := _SEPARATOR_LINE.fullmatch(first[1].rstrip("\r\n")):
        separator = said[1]
    else:
        lines = chain([first], lines)
    cells = _quoted(lines, separator, path) if quotes else _split(lines, separator, path, certain=quotes is not None)
    start, header = next(cells, (1, []))
    if repeated := next((name for name, count in Counter(header).items() if count > 1), None):
        raise DataError(f"the header names the column {repeated!r} twice", path=path, row=f"line {start}")
    number = 0
    for line, row in cells:
        if not row or (row == [""] and not (quotes and len(header) == 1)):  # of one column, "" is an empty cell
            continue
        name = f"line {line}"
        if len(row) == len(header):
            yield number, name, dict(zip(header, row, strict=True))
        else:
            message = f"the row has {len(row)} cells where the header has {len(header)}{separator_hint(header)}"
            if quotes is None and any(_OPEN.fullmatch(cell) for cell in row):
                message += "; if quotation marks enclose cells with tabs or line ends, set the reader's `quotes: true`"
            problems.judge("bad_row", row=name, field="", message=message)
        number += 1


def separator_hint(header: Sequence[str]) -> str:
    """What separates the cells, where all of the header's are taken for one; empty for other headers."""
    found = max(SEPARATORS, key=header[0].count) if len(header) == 1 else ""
    return f"; {found!r} seems to separate them: set the reader's `separator`" if found and found in header[0] else ""


def _split(
    lines: Iterable[tuple[int, str]], separator: str, path: Path, *, certain: bool
) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        row = line.removesuffix("\n").removesuffix("\r").split(separator)
        if not certain and (cell := _enclosed(row, header=number == 1)) is not None:
            message = (
                f"the cell {quoted(cell)} seems to be enclosed in quotation marks, as pandas writes them: set the "
                "reader's `quotes: true`, or `quotes: false` if they are part of the texts"
            )
            raise DataError(message, path=path, row=f"line {number}")
        yield number, row


def _enclosed(row: list[str], *, header: bool) -> str | None:
    """A cell that is written in quotation marks: a name in the header, or one with doubled quotation marks inside."""
    marked = (cell for cell in row if len(cell) > 1 and cell[0] == cell[-1] == '"')
    return next((cell for cell in marked if header or _DOUBLED.fullmatch(cell)), None)


def _quoted(lines: Iterable[tuple[int, str]], separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST)  # the default refuses contexts of more than 131,072 characters
    number = 1

    def texts() -> Iterator[str]:
        nonlocal number
        for number, line in lines:  # noqa: B007 - what messages name
            yield line

    reader = csv.reader(texts(), delimiter=separator, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            problem = f"the quotation marks do not match: {error}"
            if "new-line character" in str(error):
                problem = "a carriage return stands alone and outside quotation marks; lines end with \\n or \\r\\n"
            raise DataError(problem, path=path, row=f"line {number}") from None
        if row is None:
            return
        yield number, row
