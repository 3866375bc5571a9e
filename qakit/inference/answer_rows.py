"""Predictions as rows of a flat table: Parquet, JSON Lines or CSV, written a block at a time."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from qakit.errors import DataError, PluginError
from qakit.inference.stream_inputs import Form
from qakit.values import ContextPrediction, LabelPrediction, Prediction, SpanPrediction, as_written

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["text", "number", "integer", "numbers"]
Columns = dict[str, Kind]

SPAN_COLUMNS: Columns = {
    "id": "text",
    "answer": "text",
    "score": "number",
    "probability": "number",
    "context": "integer",
    "start": "integer",
    "end": "integer",
    "no_answer_score": "number",
    "no_answer_probability": "number",
}
"""``answer`` is the final text, empty where "no answer" won. ``score`` to ``end`` are the best span's, also where "no
answer" won, so that another threshold needs no new scoring; ``start`` and ``end`` are characters of that context, end
exclusive."""
CLASS_COLUMNS: Columns = {"id": "text", "label": "text", "scores": "numbers"}
NUMBER_COLUMNS: Columns = {"id": "text", "label": "number", "scores": "numbers"}
CONTEXT_COLUMNS: Columns = {"id": "text", "context": "integer", "scores": "numbers"}


def columns_of(prediction: Prediction) -> Columns:
    """The columns that this kind of prediction has."""
    if isinstance(prediction, SpanPrediction):
        return SPAN_COLUMNS
    if isinstance(prediction, ContextPrediction):
        return CONTEXT_COLUMNS
    return CLASS_COLUMNS if isinstance(prediction.label, str) else NUMBER_COLUMNS


def row_of(prediction: Prediction) -> dict[str, Any]:
    """One prediction under its columns; None where it has no such value."""
    if isinstance(prediction, LabelPrediction):
        label = _sound(as_written(prediction.label)) if isinstance(prediction.label, str) else float(prediction.label)
        return {"id": _sound(prediction.id), "label": label, "scores": list(prediction.scores)}
    if isinstance(prediction, ContextPrediction):
        return {"id": _sound(prediction.id), "context": prediction.context, "scores": list(prediction.scores)}
    best, null = prediction.best, prediction.null
    return {
        "id": _sound(prediction.id),
        "answer": _sound(prediction.answer),
        "score": best and best.score,
        "probability": best and best.probability,
        "context": best and best.context,
        "start": best and best.start,
        "end": best and best.end,
        "no_answer_score": null and null.score,
        "no_answer_probability": null and null.probability,
    }


def _sound(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which no file can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return text


class _Sink(Protocol):
    """An open file of one format."""

    def write(self, rows: Sequence[dict[str, Any]]) -> None: ...
    def close(self) -> None: ...


class AnswerFile:
    """A file of answers that grows by blocks; use it as a context manager. A file without rows has a span's columns."""

    def __init__(self, path: Path, form: Form, *, source: Path) -> None:
        """``source`` is the input that the answers are to, for messages."""
        self._open: Callable[[Columns], _Sink] = lambda columns: _SINKS[form](path, columns)
        self._source = source
        self._columns: Columns | None = None
        self._sink: _Sink | None = None

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Add a block (in Parquet: a row group).

        Raises:
            PluginError: the predictions of one run are not all of one kind.
            DataError: a number is NaN or infinite.
        """
        for prediction in predictions:
            if self._columns is None:
                self._columns = columns_of(prediction)
            if columns_of(prediction) is not self._columns:
                raise PluginError(
                    f"the prediction of {prediction.id!r} is of another kind than those before it: the head's or a "
                    "postprocessor's mistake"
                )
        if self._columns is not None:
            if self._sink is None:
                self._sink = self._open(self._columns)
            rows = [row_of(prediction) for prediction in predictions]
            for row in rows:
                _check_finite(row, self._source)
            self._sink.write(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is None and error is None:
            self._sink = self._open(SPAN_COLUMNS)
        if self._sink is not None:
            self._sink.close()


class _Parquet:
    """One row group per block."""

    def __init__(self, path: Path, columns: Columns) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self._schema = pa.schema([(name, _arrow(kind)) for name, kind in columns.items()])
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(list(rows), schema=self._schema), row_group_size=len(rows))

    def close(self) -> None:
        self._writer.close()


class _JsonLines:
    def __init__(self, path: Path, _: Columns) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._encode = json.JSONEncoder(ensure_ascii=False).encode

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self._file.write(self._encode(row) + "\n")

    def close(self) -> None:
        self._file.close()


class _Csv:
    """Lists as JSON in their cell; None as an empty cell."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        # Lines end in \r\n, as RFC 4180 has it: the module quotes a lone carriage return only if it is in the line end.
        self._writer = csv.DictWriter(self._file, list(columns), lineterminator="\r\n")
        self._writer.writeheader()

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self._writer.writerow(
                {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}
            )

    def close(self) -> None:
        self._file.close()


_SINKS: dict[Form, Callable[[Path, Columns], _Sink]] = {"parquet": _Parquet, "jsonl": _JsonLines, "csv": _Csv}


def _arrow(kind: Kind) -> pa.DataType:
    import pyarrow as pa

    types = {"text": pa.string(), "number": pa.float64(), "integer": pa.int32(), "numbers": pa.list_(pa.float64())}
    return types[kind]


def _check_finite(row: dict[str, Any], source: Path) -> None:
    for name, value in row.items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise DataError(
                f"the answer's {name} is NaN or infinite and is not written", path=source, row=f"id {row['id']}"
            )
