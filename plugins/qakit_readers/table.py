"""Any table with a column map: question answering, text classification or regression."""

from __future__ import annotations

import math
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from qakit.api import Answer, DataError, Example, Problems
from qakit_readers.answers import answer_values, place_answer, read_answer
from qakit_readers.columnar import parquet_rows
from qakit_readers.delimited import Row, delimited_rows
from qakit_readers.forms import format_hint, format_of
from qakit_readers.json_table import json_rows
from qakit_readers.record import Record, SkippedRecordError, kind_of, quoted
from qakit_readers.settings import TableSettings

FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
"""File ending -> format."""
_COLUMN_SETTINGS = (
    "id", "question", "context", "text_a", "text_b", "answer_text", "answer_start", "answer_end", "answers", "document",
)  # fmt: skip
_NAMED = 20
"""Columns that a message names."""
_CLOSE = 0.8
"""Names at least this similar, case aside, are the same name misspelt (``difflib``'s ratio)."""


class TableReader:
    """One row, one example. Without an id column the rows' ids count from 0.

    A file that lacks the columns of answers or labels altogether is a test file: its examples are unlabelled. A column
    of nearly the same name is taken for a slip in the mapping instead.
    """

    def __init__(self, settings: TableSettings) -> None:
        self._settings = settings

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the rows in order, reading as they are asked for."""
        checked = False
        for number, name, row in self._rows(path, problems):
            if not checked:
                self._check_columns(row, path)
                checked = True
            try:
                yield self._example(Record(row, name, problems), number)
            except SkippedRecordError:
                continue
        if not checked:
            raise DataError("the table has no row", path=path)

    def _rows(self, path: Path, problems: Problems) -> Iterator[Row]:
        settings = self._settings
        form = FORMATS.get(path.suffix.lower()) if settings.format == "auto" else settings.format
        if form is None:
            raise DataError(f"the ending {path.suffix!r} names no table format; set the reader's `format`", path=path)
        if form in ("json", "jsonl"):
            return json_rows(path, problems)
        if form == "parquet":
            return parquet_rows(path)
        quotes = True if settings.quotes is None and form == "csv" else settings.quotes
        return delimited_rows(path, problems, separator="," if form == "csv" else "\t", quotes=quotes)

    def _check_columns(self, row: dict[str, Any], path: Path) -> None:
        settings = self._settings
        optional = {settings.answer_text, settings.answers}
        if settings.answer_text not in row:
            optional |= {settings.answer_start, settings.answer_end}
        for setting in _COLUMN_SETTINGS:
            column = getattr(settings, setting)
            if column is not None and column not in row and column not in optional:
                raise DataError(
                    f"there is no column {column!r} (the reader's `{setting}`); there are {_some(row)}"
                    f"{_nested_hint(row)}",
                    path=path,
                )
        targets = [column for column in (settings.answer_text, settings.answers, settings.label) if column is not None]
        if not any(column in row for column in targets):
            self._check_slips(targets, row, path)

    def _check_slips(self, targets: list[str], row: dict[str, Any], path: Path) -> None:
        """Refuse a file without any target column that has one of nearly the same name."""
        mapped = {getattr(self._settings, setting) for setting in _COLUMN_SETTINGS}
        free = {column.casefold(): column for column in row if column not in mapped}
        for wanted in targets:
            if close := get_close_matches(wanted.casefold(), free, n=1, cutoff=_CLOSE):
                raise DataError(f"there is no column {wanted!r}; did you mean {free[close[0]]!r}?", path=path)

    def _example(self, record: Record, number: int) -> Example:
        settings = self._settings
        identifier = record.identifier(settings.id) if settings.id else str(number)
        if settings.id:
            record = record.named(f"{record.row} (id {identifier})")
        question = record.text(settings.question or settings.text_a or "", empty="empty_question")
        second = settings.context or settings.text_b
        context = record.text(second, empty="empty_context") if second else ""
        document = record.values.get(settings.document) if settings.document else None
        return Example(
            identifier,
            question,
            (context,) if second else (),
            answers=self._answers(record, context) if settings.context else None,
            label=self._label(record),
            document="" if document is None else record.sound(str(document), settings.document or ""),
        )

    def _answers(self, record: Record, context: str) -> tuple[Answer, ...] | None:
        settings = self._settings
        if settings.answers is not None:
            if not record.has(settings.answers):
                return None
            listed = answer_values(record, settings.answers)
            return tuple(read_answer(record, place, value, context) for place, value in listed)
        column = settings.answer_text
        if column is None or column not in record.values:
            return None
        if record.values[column] in (None, ""):
            return () if settings.empty_answer == "unanswerable" else None
        text = record.text(column)
        start_column, end_column = settings.answer_start, settings.answer_end
        start = _integer(record, start_column) if start_column else None
        answer = place_answer(text, start, context, record=record, field=start_column or column, named=column)
        if end_column is not None and answer.start is not None and answer.start == start:
            end = _integer(record, end_column)
            if end != answer.end:
                message = f"is {end}, but start and text end at {answer.end} (exclusive)"
                record.judge("answer_end", end_column, message, repairable=True)
        return (answer,)

    def _label(self, record: Record) -> str | float | None:
        column = self._settings.label
        value = record.values.get(column) if column is not None else None
        if column is None or value is None:
            return None
        if self._settings.label_type == "number":
            return _number(record, column, value)
        if isinstance(value, bool) or not isinstance(value, str | int):
            record.refuse("bad_label", column, f"a class should be text or a whole number, not {kind_of(value)}")
        if value == "":
            record.refuse("bad_label", column, "the label is empty")
        return record.sound(str(value), column)


def _some(row: dict[str, Any]) -> str:
    """The columns, or the first of very many."""
    more = f" and {len(row) - _NAMED:,} more" if len(row) > _NAMED else ""
    return ", ".join(quoted(column) for column in islice(row, _NAMED)) + more


def _nested_hint(row: dict[str, Any]) -> str:
    """What the file is, where its rows are no rows of a table."""
    return format_hint([row]) if format_of([row]) != "table" else ""


def _integer(record: Record, column: str) -> int:
    """A whole number, also as text (CSV, TSV) or as a float without fraction (columns with empty cells)."""
    value = record.get(column)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            record.refuse("wrong_type", column, f"should be a whole number, not {kind_of(value)}")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return record.integer(column)


def _number(record: Record, column: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        record.refuse("bad_label", column, f"should be a number, not {kind_of(value)}")
    return number
