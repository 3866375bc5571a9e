"""Rows of Parquet files, streamed through ``pyarrow``.

Not through ``datasets``: its reader takes a row group as a whole, and a file is often one row group (160,000 rows of
200 MB: 760 MB of memory more than before the first row, against 50 MB here).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qakit.api import DataError
from qakit.reading.files import refuse_foreign, unreadable
from qakit_readers.delimited import Row

_MAGIC = b"PAR1"
_HEAD = 4096
_BATCH_ROWS = 1_000
_BUFFER_BYTES = 1 << 20
"""Read-ahead of each column; without a buffer of its own a column comes into memory a row group at a time."""


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, a bounded number of them in memory.

    Where the file says that a column holds the ids of named classes (``ClassLabel`` of ``datasets``), the names take
    their place, and null that of -1, which stands for "no label".

    Raises:
        DataError: the file cannot be read in this format.
    """
    _look_at(path)
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    except Exception as error:  # whatever the library raises about the file's content
        raise _unreadable_table(path, error) from error
    names = file.schema_arrow.names
    if repeated := next((name for name, count in Counter(names).items() if count > 1), None):
        raise DataError(f"the table has the column {repeated!r} twice", path=path)
    classes = _classes(file.schema_arrow)
    number = 0
    with file:
        for rows in _batches(file, path):
            for row in rows:
                for column, names in classes.items():
                    row[column] = names.get(row[column], row[column])
                yield number, f"row {number + 1}", row
                number += 1


def _batches(file: Any, path: Path) -> Iterator[list[dict[str, Any]]]:
    try:
        batches = file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False)
        while (batch := next(batches, None)) is not None:
            yield batch.to_pylist()
    except Exception as error:
        raise _unreadable_table(path, error) from error


def _classes(schema: Any) -> dict[str, dict[Any, str | None]]:
    """Id -> name of the columns that hold class ids, as ``datasets`` notes it beside the schema.

    Other programs keep the note when they drop or rewrite such a column.
    """
    from pyarrow import types

    numbers = {field.name for field in schema if types.is_integer(field.type) or types.is_floating(field.type)}
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        kinds = {name: features[name] for name in features if features[name].get("_type") == "ClassLabel"}
        return {name: {-1: None, **dict(enumerate(kinds[name]["names"]))} for name in kinds if name in numbers}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):  # nothing is noted, or not by datasets
        return {}


def is_parquet(path: Path) -> bool:
    """Whether the content is Parquet; False, too, for what cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _look_at(path: Path) -> None:
    """Refuse early what is evidently another kind of file."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise unreadable(path, error) from None
    if not head.startswith(_MAGIC):
        refuse_foreign(head, path)
        raise DataError("is not a Parquet file", path=path)


def _unreadable_table(path: Path, error: Exception) -> DataError:
    text = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"cannot be read as parquet: {text[:300]}", path=path)
