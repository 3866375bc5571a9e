"""GLUE's TSV of indices and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qakit.api import DataError

HEADER = "index\tprediction"


def table_text(values: Sequence[str], *, indices: Sequence[int] | None = None) -> str:
    """The file's text; rows are numbered from 0 without ``indices``."""
    numbers = range(len(values)) if indices is None else indices
    return "\n".join([HEADER, *(f"{number}\t{value}" for number, value in zip(numbers, values, strict=True)), ""])


def read_table(path: Path) -> dict[int, str]:
    """Predictions by index, in the file's order.

    Raises:
        DataError: the file cannot be read, or is not such a table.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError("there is no such file", path=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text", path=path) from None
    if not lines or lines[0].split("\t") != HEADER.split("\t"):
        found = lines[0][:60] if lines else ""
        raise DataError(f"the header is {found!r}; GLUE wants 'index' and 'prediction', with a tab", path=path)
    rows: dict[int, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != 2 or not (cells[0].isascii() and cells[0].isdigit()):
            raise DataError("is not an index and a prediction with a tab between them", path=path, row=f"line {number}")
        index = int(cells[0])
        if index in rows:
            raise DataError(f"the index {index} was there before", path=path, row=f"line {number}")
        rows[index] = cells[1]
    return rows
