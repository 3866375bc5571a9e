"""Rows of JSON Lines files, streamed.

Not through ``datasets``: its Arrow reader refuses a file as a whole without naming the line, and some damaged files end
the process with a segmentation fault instead of an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qakit.api import DataError
from qakit_readers.delimited import Row
from qakit_readers.files import text_lines
from qakit_readers.record import kind_of


def json_rows(path: Path) -> Iterator[Row]:
    """One object per line; blank lines are passed over. Keys that a later row lacks are null, as in a table.

    Raises:
        DataError: the file is not UTF-8, or a line holds no JSON object; the message names line and column.
    """
    columns: dict[str, Any] = {}
    number = 0
    for line, text in text_lines(path):
        if not text.strip():
            continue
        name = f"line {line}"
        row = _object(text, path, name)
        columns = columns or dict.fromkeys(row)
        yield number, name, columns | row
        number += 1


def _object(text: str, path: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"is not valid JSON at column {error.colno}: {error.msg}", path=path, row=name) from None
    except RecursionError:
        raise DataError("the JSON is nested too deeply to be a row", path=path, row=name) from None
    except ValueError:  # integers of more digits than Python converts
        raise DataError("the JSON holds a number with thousands of digits", path=path, row=name) from None
    if not isinstance(value, dict):
        raise DataError(f"should hold an object, not {kind_of(value)}", path=path, row=name)
    return value
