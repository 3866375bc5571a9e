"""Rows of JSON files: one object a line, streamed, or a document that lists them.

Not through ``datasets``: its Arrow reader refuses a file as a whole without naming the line, and some damaged files end
the process with a segmentation fault instead of an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from qakit.api import DataError, Problems
from qakit.reading.files import RepeatedKeyObject, load_json, parse_json, text_lines
from qakit.reading.record import REPEATED, kind_of
from qakit_readers.columnar import is_parquet, parquet_rows
from qakit_readers.delimited import Row
from qakit_readers.forms import entries_of, format_hint


def json_rows(path: Path, problems: Problems) -> Iterator[Row]:
    """The rows of JSON Lines, of an array of objects, or of ``{"data": [objects]}``: the content says which it is.

    Keys that a later row lacks are null, as in a table. Blank lines are skipped.

    Args:
        path: the file.
        problems: what to do about rows with a key that comes twice.

    Raises:
        DataError: the file is not UTF-8, or holds something else; the message names line and column.
    """
    columns: dict[str, Any] = {}
    values = json_lines(path) if _has_lines(path) else _document(path)
    for number, (name, row) in enumerate(values):
        if not isinstance(row, dict):
            raise DataError(f"should hold an object, not {kind_of(row)}", path=path, row=name)
        if isinstance(row, RepeatedKeyObject):
            policy = problems.judge("repeated_key", row=name, field=row.key, message=REPEATED)
            if policy == "skip":
                continue
        columns = columns or dict.fromkeys(row)
        yield number, name, columns | row


def object_rows(path: Path, problems: Problems) -> Iterator[Row]:
    """The rows of JSON as :func:`json_rows` has them, or of Parquet, as the content says; raises as either."""
    return parquet_rows(path) if is_parquet(path) else json_rows(path, problems)


def _has_lines(path: Path) -> bool:
    """Whether each line is a value of its own: the first is a whole object, and not one that lists the rows."""
    filled = (text for _, text in text_lines(path) if text.strip())
    first = next(filled, "")
    if first.lstrip().startswith("["):
        return False
    try:
        value = parse_json(first)
    except (ValueError, RecursionError):
        return not first.lstrip().startswith("{")
    listed = entries_of(value) if isinstance(value, dict) else None
    return not listed or not isinstance(listed[0], dict) or next(filled, None) is not None


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """The values of JSON Lines, one at a time, each with its name in messages; blank lines are skipped.

    Raises:
        DataError: the file is not UTF-8, or a line is no JSON; the message names line and column.
    """
    for line, text in text_lines(path):
        if not text.strip():
            continue
        name = f"line {line}"
        try:
            yield name, parse_json(text)
        except json.JSONDecodeError as error:
            raise DataError(f"is not valid JSON at column {error.colno}: {error.msg}", path=path, row=name) from None
        except RecursionError:
            raise DataError("the JSON is nested too deeply to be a row", path=path, row=name) from None
        except ValueError:  # integers of more digits than Python converts
            raise DataError("the JSON holds a number with thousands of digits", path=path, row=name) from None


def _document(path: Path) -> Iterable[tuple[str, Any]]:
    document = load_json(path)
    entries = entries_of(document)
    if entries is None:
        message = "is an object without a list 'data'; rows are objects in a list (pandas: to_json(orient='records'))"
        raise DataError(f"{message}{format_hint(document)}", path=path)
    return ((f"record {number}", entry) for number, entry in enumerate(entries, start=1))
