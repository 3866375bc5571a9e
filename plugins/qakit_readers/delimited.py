"""Rows of CSV and TSV files, streamed.

Not through ``datasets``: its pandas reader shifts all columns by one without a word when rows have one cell more than
the header, and cannot tell a short row from one with empty cells. Cells are text; nothing becomes a number or a null.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qakit.api import DataError, Problems
from qakit_readers.files import text_lines

Row = tuple[int, str, dict[str, Any]]
"""Number from 0, name for messages, values by column."""


def delimited_rows(path: Path, problems: Problems, *, separator: str, quotes: bool) -> Iterator[Row]:
    """The rows below the header; blank lines are passed over, rows of another width are judged as ``bad_row``.

    Args:
        path: the file.
        problems: what to do about rows of another width.
        separator: one character.
        quotes: whether quotation marks enclose cells (then cells may hold line ends); else they are text.

    Raises:
        DataError: the file is not UTF-8, or its quotation marks do not match.
    """
    cells = _quoted(path, separator) if quotes else _split(path, separator)
    _, header = next(cells, (1, []))
    if repeated := [name for name in header if header.count(name) > 1]:
        raise DataError(f"the header names the column {repeated[0]!r} twice", path=path, row="line 1")
    number = 0
    for line, row in cells:
        if not any(row) and len(row) <= 1:
            continue
        name = f"line {line}"
        if len(row) == len(header):
            yield number, name, dict(zip(header, row, strict=True))
        else:
            message = f"the row has {len(row)} cells where the header has {len(header)}"
            problems.judge("bad_row", row=name, field="", message=message)
        number += 1


def _split(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in text_lines(path):
        yield number, line.split(separator)


def _quoted(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(2**31 - 1)  # the default refuses contexts of more than 131,072 characters
    reader = csv.reader((line for _, line in text_lines(path, keep_ends=True)), delimiter=separator, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"the quotation marks do not match: {error}", path=path, row=f"line {reader.line_num}"
            ) from None
        if row is None:
            return
        yield reader.line_num, row
