"""The files of the ten GLUE tasks: TSV, line by line, where a tab always separates and quotation marks are text; or
Parquet, as the hub has them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qakit.api import DataError, Example, Problems, whole_text
from qakit.reading.files import text_lines
from qakit.reading.record import Record, SkippedRecordError, quoted
from qakit_readers import GlueSettings
from qakit_readers.columnar import is_parquet, parquet_rows
from qakit_readers.glue_tasks import ID_COLUMNS, MISMATCHED, MISMATCHED_GENRES, TASKS, TaskColumns


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a file has what: column names, and whether the first line is data already."""

    names: tuple[str, ...]
    identifier: str | None
    labelled: bool
    first_is_data: bool


class GlueReader:
    """``Example.question`` is the first text, ``contexts`` the second if the task has one.

    Labels are GLUE's own names (``entailment``, ``"0"``, ``"1"``) or a float (STS-B); files without the label's
    column are unlabelled, and so are files that are only predicted. Ids are the ``index`` (QQP: ``id``) column, else
    the row's number from 0; in MNLI's mismatched genres, or a file without genres that is called mismatched, with
    ``mismatched-`` before it.
    """

    def __init__(self, settings: GlueSettings) -> None:
        self._name = settings.task
        self._task = TASKS[settings.task]

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the rows in order, reading as they are asked for."""
        return (self._parquet if is_parquet(path) else self._lines)(path, problems)

    def _parquet(self, path: Path, problems: Problems) -> Iterator[Example]:
        layout: _Layout | None = None
        for number, name, row in parquet_rows(path):
            layout = layout or self._layout(tuple(row), path, None)
            values = dict(zip(layout.names, row.values(), strict=True))
            label = values.get(self._task.label)
            if label is not None:
                values[self._task.label] = None if label == -1 else str(label)  # -1: not told
            with suppress(SkippedRecordError):
                yield self._example(Record(values, name, problems), str(number), layout, path)
        if layout is None:
            raise DataError("the table has no row", path=path)

    def _lines(self, path: Path, problems: Problems) -> Iterator[Example]:
        layout: _Layout | None = None
        blank: int | None = None
        count = 0
        for number, line in text_lines(path):
            if layout is None:
                layout = self._layout(tuple(cell.strip() for cell in line.split("\t")), path, "line 1")
                if not layout.first_is_data:
                    continue
            if blank is not None:  # a blank line counts only when something follows it
                count += self._blank_row(blank, problems)
                blank = None
            if not line:
                blank = number
                continue
            count += 1
            with suppress(SkippedRecordError):
                record = _record(line, f"line {number}", layout, problems)
                yield self._example(record, str(count - 1), layout, path)
        if layout is not None and not layout.first_is_data and count == 0:
            raise DataError("there is a header line, but no row", path=path)

    def _layout(self, given: tuple[str, ...], path: Path, row: str | None) -> _Layout:
        task = self._task
        cells = tuple(task.renamed.get(cell, cell) for cell in given)
        if all(column in cells for column in task.texts):
            repeated = [name for name in (*task.texts, task.label) if cells.count(name) > 1]
            if repeated:
                raise DataError(f"the header names the column {repeated[0]!r} twice", path=path, row=row)
            identifier = next((name for name in ID_COLUMNS if name in cells), None)
            return _Layout(cells, identifier, task.label in cells, first_is_data=False)
        if task.headless is not None and len(cells) == len(task.headless):
            return _Layout(task.headless, None, labelled=True, first_is_data=True)
        missing = ", ".join(repr(column) for column in task.texts if column not in cells)
        found = ", ".join(quoted(cell) for cell in given[:12])
        where = "Parquet table" if row is None else "first line"
        message = f"{self._name} needs the column {missing}; the {where} has {found}"
        if task.headless is not None:
            message += f" (files without a header have the {len(task.headless)} columns {', '.join(task.headless)})"
        raise DataError(message, path=path, row=row)

    def _blank_row(self, number: int, problems: Problems) -> int:
        problems.judge("bad_row", row=f"line {number}", field="", message="the line is empty")
        return 1

    def _example(self, record: Record, number: str, layout: _Layout, path: Path) -> Example:
        first = record.text(self._task.texts[0], empty="empty_question")
        second = tuple(record.text(name, empty="empty_context") for name in self._task.texts[1:])
        identifier = whole_text(record.identifier(layout.identifier)) if layout.identifier else number
        if self._name == "MNLI" and _is_mismatched(record, path):
            identifier = MISMATCHED + identifier
        wanted = layout.labelled and not record.problems.predicted_only and record.has(self._task.label)
        return Example(identifier, first, second, label=_label(record, self._task) if wanted else None)


def _record(line: str, row: str, layout: _Layout, problems: Problems) -> Record:
    cells = line.split("\t")
    if len(cells) != len(layout.names):
        message = f"the line has {len(cells)} cells where {len(layout.names)} are expected"
        Record({}, row, problems).refuse("bad_row", "", message)
    return Record(dict(zip(layout.names, cells, strict=True)), row, problems)


def _is_mismatched(record: Record, path: Path) -> bool:
    if "genre" in record.values:
        return record.values["genre"] in MISMATCHED_GENRES
    return "mismatched" in path.name


def _label(record: Record, task: TaskColumns) -> str | float:
    text = record.text(task.label).strip()
    if task.labels:
        text = whole_text(task.named.get(text, text))
        if text not in task.labels:
            message = f"{quoted(text)} is none of the labels {', '.join(task.labels)}; are the columns in order?"
            record.refuse("bad_label", task.label, message)
        return text
    lowest, highest = task.range
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        record.refuse("bad_label", task.label, f"{quoted(text)} is not a number from {lowest:g} to {highest:g}")
    return value
