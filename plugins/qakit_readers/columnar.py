"""Rows of Parquet files, streamed through ``datasets``."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qakit.api import DataError
from qakit_readers.delimited import Row
from qakit_readers.files import refuse_foreign, unreadable

_HEAD = 4096


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file.

    Raises:
        DataError: the file cannot be read in this format.
    """
    _look_at(path)
    import datasets

    with _quiet():
        try:
            rows: Iterator[dict[str, Any]] = iter(
                datasets.load_dataset("parquet", data_files=glob.escape(str(path)), split="train", streaming=True)
            )
        except Exception as error:
            raise _unreadable_table(path, error) from error
    number = 0
    while True:
        with _quiet():
            try:
                row = next(rows, None)
            except Exception as error:  # whatever the format's own library raises about the file's content
                raise _unreadable_table(path, error) from error
        if row is None:
            return
        yield number, f"row {number + 1}", row
        number += 1


def _look_at(path: Path) -> None:
    """Refuse early what is evidently another kind of file."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise unreadable(path, error) from None
    if not head.startswith(b"PAR1"):
        refuse_foreign(head, path)
        raise DataError("is not a Parquet file", path=path)


def _unreadable_table(path: Path, error: Exception) -> DataError:
    text = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"cannot be read as parquet: {text[:300]}", path=path)


@contextmanager
def _quiet() -> Iterator[None]:
    """``datasets`` logs what it also raises; the user should read it once."""
    logger = logging.getLogger("datasets")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
