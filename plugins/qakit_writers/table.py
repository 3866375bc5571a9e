"""The CSV writer."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from qakit.api import DataError, LabelPrediction, Prediction, TargetNames, Targets
from qakit_writers import CsvSettings
from qakit_writers.check import WIDEST_CELL, Rows, compare, first_five
from qakit_writers.lines import write_lines

# Python's csv module leaves a lone carriage return unquoted when lines end in "\n", and then cannot read it back.
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
FORMULA = tuple("=+-@\t\r")
"""A spreadsheet takes a cell that begins like this for a formula."""


class CsvWriter:
    """Ids and answers, one line each; several numbers have a column each, under their names."""

    suffix = ".csv"

    def __init__(self, settings: CsvSettings) -> None:
        self._settings = settings
        self._removed = dict.fromkeys(map(ord, settings.remove_characters))

    def write(self, predictions: Sequence[Prediction], path: Path) -> None:
        """Write the file atomically, in the order of ``predictions``.

        Raises:
            DataError: a value that cannot be encoded, or needs quotes under ``quoting: never``.
        """
        write_lines(path, self._lines(predictions, path), encoding=self._settings.encoding, bom=self._settings.bom)

    def check(self, path: Path, sample: Path) -> list[str]:
        """Problems of a written file against the sample submission; empty when it is fine.

        Raises:
            DataError: the sample itself cannot be read.
        """
        expected, sample_problems = self._read(sample, "utf-8")
        if sample_problems or not expected.ids:
            raise DataError(sample_problems[0] if sample_problems else "has no rows", path=sample)
        found, problems = self._read(path, self._settings.encoding)
        if not self._settings.bom and _has_bom(path) and not _has_bom(sample):
            problems.append("begins with a byte order mark (BOM), the sample does not; write it with bom: false")
        return problems + compare(found, expected, same_order=self._settings.same_order)

    def _lines(self, predictions: Sequence[Prediction], path: Path) -> Iterator[str]:
        end = self._settings.line_end
        columns = _columns(predictions[0]) if predictions else None
        if self._settings.header:
            row = (self._settings.id_column, *(columns or (self._settings.answer_column,)))
            yield ",".join(self._quoted(value, path) for value in row) + end
        if columns is not None:
            yield from (line + end for line in self._numbers(predictions, columns, path))
            return
        for prediction in predictions:
            answer = prediction.final.translate(self._removed) if self._removed else prediction.final
            yield f"{self._quoted(self._safe(prediction.id), path)},{self._quoted(self._safe(answer), path)}{end}"

    def _numbers(self, predictions: Sequence[Prediction], columns: TargetNames, path: Path) -> Iterator[str]:
        for prediction in predictions:
            label = prediction.label if isinstance(prediction, LabelPrediction) else None
            if not isinstance(label, Targets) or label.names != columns:
                message = "has other numbers than the first one: all of a file have the same columns"
                raise DataError(message, path=path, row=f"id {prediction.id}")
            yield ",".join(self._quoted(self._safe(cell), path) for cell in (prediction.id, *map(str, label)))

    def _safe(self, value: str) -> str:
        return f"'{value}" if self._settings.escape_formulas and value.startswith(FORMULA) else value

    def _quoted(self, value: str, path: Path) -> str:
        needed = _NEEDS_QUOTES.search(value) is not None
        if needed and self._settings.quoting == "never":
            raise DataError(
                f"{value[:60]!r} holds a comma, a quote or a line break and quoting is 'never'; use quoting: minimal"
                " or remove_characters",
                path=path,
            )
        if needed or self._settings.quoting == "all":
            return '"' + value.replace('"', '""') + '"'
        return value

    def _read(self, path: Path, encoding: str) -> tuple[Rows, list[str]]:
        """The rows as they are ("NA" stays "NA"), and what kept them from being read cleanly."""
        rows, odd, problems = Rows(), [], []
        csv.field_size_limit(WIDEST_CELL)
        try:
            with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as file:
                reader = csv.reader(file, strict=True)
                if self._settings.header:
                    rows.header = tuple(next(reader, ()))
                columns = len(rows.header) or 2
                for row in reader:
                    if len(row) == columns:
                        rows.ids.append(row[0])
                        rows.empty_answers += not row[-1]
                    elif row:
                        odd.append(f"line {reader.line_num}")
        except OSError as error:
            problems.append(f"cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            problems.append(f"is not {encoding.upper()} text")
        except csv.Error as error:
            problems.append(f"line {reader.line_num}: not well-formed CSV ({error})")
        if odd:
            problems.append(f"{len(odd)} rows do not have {columns} columns: {first_five(odd)}")
        return rows, problems


def _columns(prediction: Prediction) -> TargetNames | None:
    """The names of several numbers; None for a single answer."""
    label = prediction.label if isinstance(prediction, LabelPrediction) else None
    return label.names if isinstance(label, Targets) else None


def _has_bom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(3) == codecs.BOM_UTF8
    except OSError:
        return False  # the reading says so
