"""Any table with a column map: question answering, text classification or regression."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from qakit.api import Answer, DataError, Example, Problems, Targets, class_name, whole_text, without_gz
from qakit.reading.answers import answer_values, place_answer, read_answer
from qakit.reading.record import Record, SkippedRecordError, kind_of, quoted, whole_number
from qakit_readers import TableSettings
from qakit_readers.columnar import parquet_rows
from qakit_readers.delimited import Row, delimited_rows, separator_hint
from qakit_readers.forms import format_hint, format_of
from qakit_readers.json_table import json_rows
from qakit_readers.problems import BAD_ROW
from qakit_readers.template import TextTemplate

FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
"""File ending -> format."""
_COLUMN_SETTINGS = (
    "id", "question", "context", "text_a", "text_b", "answer_text", "answer_start", "answer_end", "answers", "document",
)  # fmt: skip
_TEXTS = frozenset({"question", "text_a", "text_b"})
"""Settings that may be templates: no offsets count in these texts."""
_NAMED = 20
"""Columns that a message names."""
_CLOSE = 0.8
"""Names at least this similar, case aside, are the same name misspelt (``difflib``'s ratio)."""


class TableReader:
    """One row, one example. Without an id column the rows' ids count from 0.

    A file that lacks the columns of answers or labels altogether is a test file: its examples are unlabelled. A column
    of nearly the same name is taken for a slip in the mapping instead. Rows with an empty label are unlabelled, too.
    """

    def __init__(self, settings: TableSettings) -> None:
        self._settings = settings
        self._templates = {setting: TextTemplate.of(getattr(settings, setting) or "") for setting in _TEXTS}

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the rows in order, reading as they are asked for."""
        checked = whole_ids = False
        for number, name, row in self._rows(path, problems):
            if not checked:
                self._check_columns(row, path, labels=not problems.predicted_only)
                whole_ids = self._has_whole_ids(row, path)
                problems.unlabelled = self._without_labels(row)
                checked = True
            with suppress(SkippedRecordError):
                yield self._example(Record(row, name, problems), number, whole_ids=whole_ids)
        if not checked:
            raise DataError("the table has no row", path=path)

    def _format(self, path: Path) -> str:
        form = (
            FORMATS.get(without_gz(path).suffix.lower()) if self._settings.format == "auto" else self._settings.format
        )
        if form is None:
            raise DataError(f"the ending {path.suffix!r} names no table format; set the reader's `format`", path=path)
        return form

    def _rows(self, path: Path, problems: Problems) -> Iterator[Row]:
        settings, form = self._settings, self._format(path)
        if form in ("json", "jsonl"):
            return json_rows(path, problems)
        if form == "parquet":
            return parquet_rows(path)
        quotes = True if settings.quotes is None and form == "csv" else settings.quotes
        separator = settings.separator or ("," if form == "csv" else "\t")
        return delimited_rows(path, problems, separator=separator, quotes=quotes)

    def _has_whole_ids(self, row: dict[str, Any], path: Path) -> bool:
        """Whether all ids of a CSV or TSV file are whole numbers that were written as floats: ``13.0``, by pandas.

        Beside ``2.1`` an id ``2.0`` is no number but a name, so the whole column decides; it is read beforehand only
        where the first row's id looks like that. The other formats say themselves what is text and what a number.
        """
        column = self._settings.id
        if column is None or self._format(path) not in ("csv", "tsv") or whole_text(row[column]) == row[column]:
            return False
        rows = self._rows(path, Problems(path, collect=True, declared=(BAD_ROW,)))
        return all(whole_text(row[column]) != row[column] for _, _, row in rows)

    def _check_columns(self, row: dict[str, Any], path: Path, *, labels: bool) -> None:
        """``labels``: whether the file's labels are needed."""
        settings = self._settings
        optional = {settings.answer_text, settings.answers}
        if settings.answer_text not in row or not labels:
            optional |= {settings.answer_start, settings.answer_end}
        for setting, column in [*self._named(row), *(("choices", column) for column in settings.choices or ())]:
            if column not in row and column not in optional:
                if setting in _TEXTS and ("{" in column or "}" in column):
                    message = f"{column!r} (the reader's `{setting}`) is no column, and no template: every column's "
                    message += "name stands in braces, as in '{title} {body}'; braces that are meant are doubled"
                    raise DataError(message, path=path)
                nested = format_hint([row]) if format_of([row]) != "table" else ""  # no rows of a table
                raise DataError(
                    f"there is no column {column!r} (the reader's `{setting}`); there are {_some(row)}"
                    f"{nested}{separator_hint(list(row))}",
                    path=path,
                )
        columns = self._label_columns
        if labels and (missing := [column for column in columns if column not in row]) and len(missing) < len(columns):
            raise DataError(
                f"there is no column {missing[0]!r} (the reader's `label`); there are {_some(row)}", path=path
            )
        targets = [column for column in (settings.answer_text, settings.answers, *columns) if column is not None]
        if labels and not any(column in row for column in targets):
            self._check_slips(targets, row, path)

    @property
    def _label_columns(self) -> list[str]:
        label = self._settings.label
        return label if isinstance(label, list) else [] if label is None else [label]

    def _named(self, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Settings and the columns that they name."""
        for setting in _COLUMN_SETTINGS:
            column, template = getattr(self._settings, setting), self._templates.get(setting)
            if template is not None and column not in row:
                yield from ((setting, each) for each in template.columns)
            elif column is not None:
                yield setting, column

    def _check_slips(self, targets: list[str], row: dict[str, Any], path: Path) -> None:
        """Refuse a file without any target column that has one of nearly the same name."""
        mapped = {column for _, column in self._named(row)} | {*(self._settings.choices or ())}
        free = {column.casefold(): column for column in row if column not in mapped}
        for wanted in targets:
            if close := get_close_matches(wanted.casefold(), free, n=1, cutoff=_CLOSE):
                raise DataError(f"there is no column {wanted!r}; did you mean {free[close[0]]!r}?", path=path)

    def _without_labels(self, row: dict[str, Any]) -> str:
        """Why a file without labels has none."""
        settings = self._settings
        label = next(iter(self._label_columns), None)
        named = {"answer_text": settings.answer_text, "answers": settings.answers, "label": label}
        wanted = {setting: column for setting, column in named.items() if column is not None}
        if not wanted:
            return "no setting of the reader (answer_text, answers, label) says which column holds them"
        if any(column in row for column in wanted.values()):
            return ""
        missing = " and ".join(f"{column!r} (the reader's `{setting}`)" for setting, column in wanted.items())
        return f"there is no column {missing}; there are {_some(row)}"

    def _example(self, record: Record, number: int, *, whole_ids: bool) -> Example:
        settings = self._settings
        identifier = record.identifier(settings.id) if settings.id else str(number)
        identifier = whole_text(identifier) if whole_ids else identifier
        if settings.id:
            record = record.named(f"{record.row} (id {identifier})")
        question = self._text(record, "question" if settings.question else "text_a", empty="empty_question")
        second = settings.context or settings.text_b
        context = ""
        if second:
            context = self._text(record, "context" if settings.context else "text_b", empty="empty_context")
        document = record.values.get(settings.document) if settings.document else None
        labelled = not record.problems.predicted_only
        choices = tuple(record.text(column, empty="empty_context") for column in settings.choices or ())
        label = self._label(record) if labelled else None
        return Example(
            identifier,
            question,
            (context,) if second else choices,
            answers=self._answers(record, context) if settings.context and labelled else None,
            label=None if choices else label,
            relevant=self._chosen(record, str(label), choices) if choices and label is not None else None,
            document="" if document is None else record.sound(str(document), settings.document or ""),
        )

    def _text(self, record: Record, setting: str, *, empty: str) -> str:
        named, template = getattr(self._settings, setting), self._templates.get(setting)
        if template is None or named in record.values:
            return record.text(named, empty=empty)
        return template.fill(record, setting, empty=empty)

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
        start = None
        if start_column and not _is_empty(record.values.get(start_column)):
            start = _integer(record, start_column)
        answer = place_answer(text, start, context, record=record, field=start_column or column, named=column)
        if end_column is not None and answer.start is not None and answer.start == start:
            end = _integer(record, end_column)
            if end != answer.end:
                message = f"is {end}, but start and text end at {answer.end} (exclusive)"
                record.judge("answer_end", end_column, message, repairable=True)
        return (answer,)

    def _chosen(self, record: Record, label: str, choices: tuple[str, ...]) -> int:
        columns = self._settings.choices or []
        letters = [chr(ord("A") + number) for number in range(len(choices))]
        numbers = [str(number) for number in range(len(choices))]
        place = next((names.index(label) for names in (numbers, columns, letters, choices) if label in names), None)
        if place is None:
            known = f"none of the {len(choices)} choices: a number from 0, a letter, a column or a text"
            record.refuse("bad_label", self._label_columns[0], f"{quoted(label)} is {known}")
        return place

    def _label(self, record: Record) -> str | float | Targets | None:
        column = self._settings.label
        if isinstance(column, list):
            cells = {name: record.values.get(name) for name in column}
            numbers = {
                name: math.nan if _is_empty(cell) else _number(record, name, cell) for name, cell in cells.items()
            }
            return None if all(map(math.isnan, numbers.values())) else Targets(numbers.values(), numbers)
        value = record.values.get(column) if column is not None else None
        if column is None or _is_empty(value):
            return None
        if self._settings.label_type == "number":
            return _number(record, column, value)
        if not isinstance(value, str | bool) and whole_number(value) is None:
            message = f"a class should be text, a whole number, true or false, not {kind_of(value)}"
            if isinstance(value, float):
                message += "; for regression set the reader's label_type to number"
            record.refuse("bad_label", column, message)
        return record.sound(class_name(value), column)


def _some(row: dict[str, Any]) -> str:
    """The columns, or the first of very many."""
    more = f" and {len(row) - _NAMED:,} more" if len(row) > _NAMED else ""
    return ", ".join(quoted(column) for column in islice(row, _NAMED)) + more


def _integer(record: Record, column: str) -> int:
    """A whole number, also as text (CSV, TSV)."""
    value = record.get(column)
    if isinstance(value, str):
        try:
            return int(whole_text(value.strip()))
        except ValueError:
            record.refuse("wrong_type", column, f"should be a whole number, not {kind_of(value)}")
    return record.integer(column)


def _is_empty(value: object) -> bool:
    """Whether a cell holds nothing: null, blank text, or the NaN that pandas has for it."""
    return value is None or (isinstance(value, str) and not value.strip()) or value != value


def _number(record: Record, column: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        record.refuse("bad_label", column, f"should be a number, not {kind_of(value)}")
    return number
