"""Reading answer files as programs and people exchange them: JSON, JSON Lines, CSV, Parquet, GLUE's TSV."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from qakit.errors import DataError
from qakit.files import without_gz
from qakit.names import one_line
from qakit.numbers import finite_or_none, parse_targets, targets_of
from qakit.reading.files import LONGEST, RepeatedKeyObject, load_text, parse_json
from qakit.reading.record import kind_of
from qakit.values import LabelPrediction, Prediction, SetPrediction, SpanPrediction, Targets

MOST = sys.float_info.max
ANSWER_FILES = (".csv", ".json", ".jsonl", ".parquet", ".tsv")
"""Endings of files of answers."""
ANSWER, LABEL = "answer", "label"
"""What the column of the answers is called, beside ``id``."""


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """Answers by id, in file order, and how the file spelt them."""

    path: Path
    answers: Mapping[str, str]
    columns: tuple[str, str] | None = None
    """Headers of the id and the answer column of a CSV file; None where there are none."""
    line_end: Literal["\n", "\r\n"] = "\n"
    """Of the first line of a CSV file; else ``\\n``."""
    headless: bool = False
    """Whether it is a CSV file whose first line is an answer."""
    classes: bool = False
    """Whether the answers are classes or numbers: GLUE's files, a column ``label``, or several columns of numbers."""
    several: bool = False
    """Whether each answer is several numbers, as ``Targets`` are written."""
    sets: bool = False
    """Whether each answer is a list of texts, as ``SetPrediction.final`` has it."""

    def made(self, id_: str) -> Prediction:
        """The prediction that an answer is."""
        answer = self.answers[id_]
        if self.several and (targets := parse_targets(answer)) is not None:
            return LabelPrediction(id_, targets)
        if self.sets:
            return SetPrediction(id_, SetPrediction.texts(answer))
        return LabelPrediction(id_, answer) if self.classes else SpanPrediction(id_, answer)


def read_answers(path: Path, *, ids: Collection[str] = frozenset()) -> AnswerFile:
    """The answers of a ``.csv`` or ``.parquet`` file, of GLUE's ``.tsv``, or of JSON: one object id -> text, or records
    with ``id`` and ``answer`` (or ``label``), one a line or in a list. All but Parquet may be compressed with gzip.

    Columns are found by the names ``id`` and ``answer`` (or ``label``); two others are the id and the answer, in this
    order. Texts stay as they are: ``NA`` is an answer. Where there is no answer and no label, several columns beside
    the id (``id``, or the first) are several numbers of one text.

    Args:
        path: the file.
        ids: those that are asked for, where they are known: a first line that begins with one of them is no header.

    Raises:
        DataError: the file is not what its ending says, an answer is not text, an id comes twice.
    """
    ending = without_gz(path).suffix.lower()
    if ending == ".csv":
        return _read_csv(path, ids)
    if ending == ".tsv":
        return AnswerFile(path, read_tab_separated(path, ids=ids), classes=True)
    if ending == ".parquet":
        return _of_records(_parquet_records(path), path)
    document = _read_json(path, "one object, id -> answer text")
    if isinstance(document, tuple):
        return _of_records(document, path)
    answers = _as_object(document, path, "id -> answer text")
    sets = any(isinstance(answer, list) for answer in answers.values())
    for id_, answer in answers.items():
        answers[id_] = _text_of(answer, "answer", path, f"id {id_}")
    return AnswerFile(path, answers, sets=sets)


def read_tab_separated(path: Path, *, ids: Collection[str] = frozenset()) -> dict[str, str]:
    """The answers of a TSV file as GLUE has them: a header line, then id, tab, answer; quotation marks are text.

    Raises:
        DataError: the file is not UTF-8, a line has not two cells, an id comes twice.
    """
    answers: dict[str, str] = {}
    for number, line in enumerate(load_text(path).replace("\r\n", "\n").split("\n"), start=1):
        cells = line.split("\t")
        if len(cells) != 2 and (line or number == 1):
            message = f"should be two cells with a tab between them, index and prediction; found {len(cells)}"
            raise DataError(message, path=path, row=f"line {number}")
        if not line or (number == 1 and cells[0] not in ids):
            continue
        _add(answers, cells[0], cells[1], path, f"line {number}")
    return answers


def read_probabilities(path: Path) -> dict[str, float]:
    """No-answer probabilities (or other scores) from a JSON file, id -> number.

    Raises:
        DataError: the file is not such an object, or a value is not a finite number.
    """
    values = _as_object(_read_json(path, "one object, id -> number"), path, "id -> number")
    for id_, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"the value is {kind_of(value)}, not a number", path=path, row=f"id {id_}")
        if not -MOST < value < MOST:  # also for numbers that are none, and for whole ones too large for a float
            raise DataError(f"the value is {str(value)[:40]}, not a finite number", path=path, row=f"id {id_}")
    return {id_: float(value) for id_, value in values.items()}


Records = tuple[tuple[str, dict[str, Any]], ...]
"""JSON objects or rows with their names for messages."""


def _read_json(path: Path, wanted: str) -> Records | Any:
    """The records of JSON Lines, of a list, or a single one; any other document as it is."""
    text = load_text(path)
    try:
        document = parse_json(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return _json_lines(text, path)
        problem = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise DataError(f"{problem}; expected {wanted}", path=path) from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"is not JSON that can be read ({error})", path=path) from None
    if isinstance(document, list) and document and all(isinstance(each, dict) for each in document):
        return tuple((f"record {number}", each) for number, each in enumerate(document, start=1))
    if isinstance(document, dict) and "id" in document:
        answered = ANSWER in document or LABEL in document or _numbers_beside_id(document)
        return (("line 1", document),) if answered else document
    return document


def _json_lines(text: str, path: Path) -> Records:
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"is not JSON ({error})", path=path, row=f"line {number}") from None
        if not isinstance(record, dict):
            raise DataError(f"is {kind_of(record)}; expected an object", path=path, row=f"line {number}")
        records.append((f"line {number}", record))
    return tuple(records)


def _parquet_records(path: Path) -> Records:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
        columns = [name for name in ("id", ANSWER, LABEL) if name in table.column_names]
        if columns == ["id"]:
            kinds = pyarrow.types
            numbers = [each for each in table.schema if kinds.is_floating(each.type) or kinds.is_integer(each.type)]
            columns += [each.name for each in numbers if each.name != "id"]
        rows = table.select(columns).to_pylist()
    except Exception as error:  # whatever the library raises about the file's content
        raise DataError(f"cannot be read as Parquet: {one_line(error)}", path=path) from None
    return tuple((f"row {number}", row) for number, row in enumerate(rows, start=1))


def _of_records(records: Records, path: Path) -> AnswerFile:
    answers: dict[str, str] = {}
    name = next((name for name in (ANSWER, LABEL) if records and name in records[0][1]), ANSWER)
    several = bool(records) and (isinstance(records[0][1].get(LABEL), dict) or _numbers_beside_id(records[0][1]))
    for row, record in records:
        if isinstance(record, RepeatedKeyObject):
            raise DataError(f"{record.key!r} comes twice", path=path, row=row)
        id_, answer = record.get("id"), record.get(name)
        if isinstance(answer, RepeatedKeyObject):
            raise DataError(f"{answer.key!r} comes twice in {name!r}", path=path, row=row)
        if isinstance(id_, bool) or not isinstance(id_, str | int):
            raise DataError(f"the id is {kind_of(id_)}; expected records with 'id' and '{name}'", path=path, row=row)
        if several:
            held = answer if name == LABEL else {key: value for key, value in record.items() if key != "id"}
            if (targets := targets_of(held)) is None:
                raise DataError("should hold finite numbers and nothing else", path=path, row=f"{row}, id {id_}")
            answer = str(targets)
        elif name == LABEL and isinstance(answer, int | float):
            answer = json.dumps(answer)
        _add(answers, str(id_), _text_of(answer, name, path, f"{row}, id {id_}"), path, row)
    sets = any(isinstance(record.get(name), list) for _, record in records)
    return AnswerFile(path, answers, classes=several or name == LABEL, several=several, sets=sets)


def _text_of(answer: object, name: str, path: Path, row: str) -> str:
    """An answer as text: of a list of texts, as ``SetPrediction.final`` has it."""
    if isinstance(answer, list) and name == ANSWER and all(isinstance(each, str) for each in answer):
        return SetPrediction("", tuple(answer)).final
    if not isinstance(answer, str):
        raise DataError(f"the {name} is {kind_of(answer)}, not text", path=path, row=row)
    return answer


def _numbers_beside_id(record: dict[str, Any]) -> bool:
    """Whether a record has an id and several numbers, and nothing else."""
    numbers = [value for key, value in record.items() if key != "id"]
    return len(numbers) > 1 and all(map(_is_number, numbers)) and "id" in record


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return False
    return finite_or_none(value) is not None


def _as_object(document: Any, path: Path, wanted: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise DataError(f"is {kind_of(document)}; expected one JSON object, {wanted}", path=path)
    if isinstance(document, RepeatedKeyObject):
        raise DataError("comes twice in the file", path=path, row=f"id {document.key}")
    return document


def _read_csv(path: Path, ids: Collection[str]) -> AnswerFile:
    text = load_text(path)
    csv.field_size_limit(LONGEST)
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        first, second = next(reader, []), next(reader, None)
        headless = _is_answer(first, second, ids)
        several = not headless and _has_numbers(first, second)
        id_column, answer_column = (0, 1) if headless else _columns(first, path, several=several)
        rows: Iterator[list[str]] = chain([] if second is None else [second], reader)
        answers: dict[str, str] = {}
        if headless:
            _add(answers, first[0], first[1], path, "line 1")
        for row in rows:
            if not row:
                continue
            line = f"line {2 if row is second else reader.line_num}"
            if len(row) != len(first):
                problem = f"has {len(row)} columns, the header has {len(first)}; quote answers that hold a comma"
                raise DataError(problem, path=path, row=line)
            answer = _numbers_of(first, row, id_column, path, line) if several else row[answer_column]
            _add(answers, row[id_column], answer, path, line)
    except csv.Error as error:
        raise DataError(f"is not well-formed CSV: {error}", path=path, row=f"line {reader.line_num}") from None
    return AnswerFile(
        path,
        answers,
        columns=None if headless else (first[id_column], ANSWER if several else first[answer_column]),
        line_end="\r\n" if text[: text.find("\n") + 1].endswith("\r\n") else "\n",
        headless=headless,
        classes=several or (not headless and first[answer_column].strip().lower() == LABEL),
        several=several,
    )


def _has_numbers(header: list[str], second: list[str] | None) -> bool:
    """Whether the columns beside the id are several numbers of each text."""
    if len(header) < 3 or {ANSWER, LABEL} & set(_names(header)) or second is None or len(second) != len(header):
        return False
    id_ = _id_column(header)
    return all(_is_number(cell) for place, cell in enumerate(second) if place != id_)


def _numbers_of(header: list[str], row: list[str], id_column: int, path: Path, line: str) -> str:
    cells = {name: cell for place, (name, cell) in enumerate(zip(header, row, strict=True)) if place != id_column}
    odd = next((name for name, cell in cells.items() if not _is_number(cell)), None)
    if odd is not None:
        problem = f"{cells[odd][:40]!r} is no number, as the first row has in all columns beside the id"
        raise DataError(problem, path=path, row=line, field=odd)
    return str(Targets(map(float, cells.values()), cells))


def _id_column(header: list[str]) -> int:
    names = _names(header)
    return names.index("id") if "id" in names else 0


def _is_answer(first: list[str], second: list[str] | None, ids: Collection[str]) -> bool:
    """Whether the first line of two columns is an answer already: its id is one that is asked for, or, where these are
    not known, it is built as the next line's (letters and digits alike), with a digit in it as no column's name has."""
    if len(first) != 2 or {"id", ANSWER, LABEL} & set(_names(first)):
        return False
    if ids:
        return first[0] in ids
    return second is not None and _shape(first[0]) == _shape(second[0]) and any(map(str.isdigit, first[0]))


def _shape(id_: str) -> str:
    """``q7-ab`` and ``x12-c`` alike; hexadecimal digits count as digits."""
    return re.sub(r"[0-9a-f]*[0-9][0-9a-f]*", "9", re.sub(r"[g-zG-Z]+", "z", id_.lower()))


def _columns(header: list[str], path: Path, *, several: bool = False) -> tuple[int, int]:
    names = _names(header)
    if several:
        return _id_column(header), 1
    answer = next((names.index(name) for name in (ANSWER, LABEL) if name in names), None)
    if "id" in names and (answer is not None or len(header) == 2):
        id_ = names.index("id")
        return id_, 1 - id_ if answer is None else answer
    if len(header) == 2:
        return (0, 1) if answer is None else (1 - answer, answer)
    raise DataError(
        f"the header is {','.join(header)[:80]!r}; expected two columns, id and answer", path=path, row="line 1"
    )


def _names(header: list[str]) -> list[str]:
    return [name.strip().lower() for name in header]


def _add(answers: dict[str, str], id_: str, answer: str, path: Path, row: str) -> None:
    if id_ in answers:
        raise DataError(f"id {id_} comes twice in the file", path=path, row=row)
    answers[id_] = answer


def first_ids(ids: Iterable[str]) -> str:
    """The first five ids for a message."""
    listed = list(ids)
    return ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")
