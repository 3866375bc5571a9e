"""Reading answer files as programs and people exchange them: JSON (id -> text), CSV (id, answer), GLUE's TSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from qakit.errors import DataError

MOST = sys.float_info.max
WIDEST_CELL = 2**31 - 1
"""Characters of a cell of a CSV file; Python's own limit refuses long answers."""


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """Answers by id, in file order, and how the file spelt them."""

    path: Path
    answers: Mapping[str, str]
    columns: tuple[str, str] | None = None
    """Headers of the id and the answer column; None for JSON."""
    line_end: Literal["\n", "\r\n"] = "\n"
    """Of the header line; ``\\n`` for JSON."""


def read_answers(path: Path) -> AnswerFile:
    """The answers of a ``.csv`` file (id, answer), of GLUE's ``.tsv`` or of a JSON file (id -> text).

    Of more than two CSV columns, those called ``id`` and ``answer`` count. Texts stay as they are: ``NA`` is an answer.

    Raises:
        DataError: the file is not what its ending says, an answer is not text, an id comes twice.
    """
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    if path.suffix.lower() == ".tsv":
        return AnswerFile(path, read_tab_separated(path))
    answers = _read_object(path, "id -> answer text")
    for id_, answer in answers.items():
        if not isinstance(answer, str):
            raise DataError(f"the answer is {_kind(answer)}, not text", path=path, row=f"id {id_}")
    return AnswerFile(path, answers)


def read_tab_separated(path: Path) -> dict[str, str]:
    """The answers of a TSV file as GLUE has them: a header line, then id, tab, answer; quotation marks are text.

    Raises:
        DataError: the file is not UTF-8, a line has not two cells, an id comes twice.
    """
    answers: dict[str, str] = {}
    for number, line in enumerate(_read_text(path).replace("\r\n", "\n").split("\n"), start=1):
        cells = line.split("\t")
        if len(cells) != 2 and (line or number == 1):
            message = f"should be two cells with a tab between them, index and prediction; found {len(cells)}"
            raise DataError(message, path=path, row=f"line {number}")
        if not line or number == 1:
            continue
        if cells[0] in answers:
            raise DataError(f"id {cells[0]} comes twice in the file", path=path, row=f"line {number}")
        answers[cells[0]] = cells[1]
    return answers


def read_probabilities(path: Path) -> dict[str, float]:
    """No-answer probabilities (or other scores) from a JSON file, id -> number.

    Raises:
        DataError: the file is not such an object, or a value is not a finite number.
    """
    values = _read_object(path, "id -> number")
    for id_, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"the value is {_kind(value)}, not a number", path=path, row=f"id {id_}")
        if not -MOST < value < MOST:  # also for numbers that are none, and for whole ones too large for a float
            raise DataError(f"the value is {str(value)[:40]}, not a finite number", path=path, row=f"id {id_}")
    return {id_: float(value) for id_, value in values.items()}


def _read_object(path: Path, wanted: str) -> dict[str, Any]:
    text = _read_text(path)
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise DataError(f"{problem}; expected one object, {wanted}", path=path) from None
    except _RepeatedIdError as error:
        raise DataError("comes twice in the file", path=path, row=f"id {error}") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"is not JSON that can be read ({error})", path=path) from None
    if not isinstance(document, dict):
        raise DataError(f"is {_kind(document)}; expected one JSON object, {wanted}", path=path)
    return document


class _RepeatedIdError(Exception):
    """A key comes twice in a JSON object."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedIdError(key)
            seen.add(key)
    return found


def _read_csv(path: Path) -> AnswerFile:
    text = _read_text(path)
    csv.field_size_limit(WIDEST_CELL)
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        id_column, answer_column = _columns(header, path)
        answers: dict[str, str] = {}
        for row in reader:
            if not row:
                continue
            line = f"line {reader.line_num}"
            if len(row) != len(header):
                problem = f"has {len(row)} columns, the header has {len(header)}; quote answers that hold a comma"
                raise DataError(problem, path=path, row=line)
            if row[id_column] in answers:
                raise DataError(f"id {row[id_column]} comes twice in the file", path=path, row=line)
            answers[row[id_column]] = row[answer_column]
    except csv.Error as error:
        raise DataError(f"is not well-formed CSV: {error}", path=path, row=f"line {reader.line_num}") from None
    first_line = text[: text.find("\n") + 1]
    return AnswerFile(
        path, answers, (header[id_column], header[answer_column]), "\r\n" if first_line.endswith("\r\n") else "\n"
    )


def _columns(header: list[str], path: Path) -> tuple[int, int]:
    if len(header) == 2:
        return 0, 1
    names = [name.strip().lower() for name in header]
    if "id" in names and "answer" in names:
        return names.index("id"), names.index("answer")
    raise DataError(
        f"the header is {','.join(header)[:80]!r}; expected two columns, id and answer", path=path, row="line 1"
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError("there is no such file", path=path) from None
    except IsADirectoryError:
        raise DataError("is a folder; name a file in it", path=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from None
    except UnicodeDecodeError as error:
        raise DataError(f"byte {error.start} is not UTF-8; save the file as UTF-8", path=path) from None


def first_ids(ids: Iterable[str], *, count: int = 5) -> str:
    """The first ids for a message."""
    listed = list(ids)
    return ", ".join(listed[:count]) + (", ..." if len(listed) > count else "")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return f"a number ({value})"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
