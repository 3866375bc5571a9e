"""Predictions as rows of a flat table: Parquet, JSON Lines or CSV, written a block at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from qakit.data.csv_rows import csv_rows
from qakit.errors import DataError, PluginError
from qakit.inference.stream_inputs import Form
from qakit.values import (
    ContextPrediction,
    LabelPrediction,
    Prediction,
    SetPrediction,
    SpanPrediction,
    Targets,
    as_written,
)

Kind = Literal["text", "number", "integer", "numbers", "texts"]
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
SET_COLUMNS: Columns = {"id": "text", "answers": "texts"}
CLASS_COLUMNS: Columns = {"id": "text", "label": "text", "scores": "numbers"}
NUMBER_COLUMNS: Columns = {"id": "text", "label": "number", "scores": "numbers"}
CONTEXT_COLUMNS: Columns = {"id": "text", "context": "integer", "scores": "numbers"}


def columns_of(prediction: Prediction) -> Columns:
    """The columns that this kind of prediction has."""
    if isinstance(prediction, SpanPrediction):
        return SPAN_COLUMNS
    if isinstance(prediction, SetPrediction):
        return SET_COLUMNS
    if isinstance(prediction, ContextPrediction):
        return CONTEXT_COLUMNS
    if isinstance(prediction.label, Targets):
        return {"id": "text", **dict.fromkeys(_number_columns(prediction.label), "number")}
    return CLASS_COLUMNS if isinstance(prediction.label, str) else NUMBER_COLUMNS


def _number_columns(targets: Targets) -> list[str]:
    """A column for each number; none takes that of the ids."""
    return [f"{name} (number)" if name == "id" else name for name in targets.names]


def row_of(prediction: Prediction) -> dict[str, Any]:
    """One prediction under its columns; None where it has no such value."""
    if isinstance(prediction, LabelPrediction):
        if isinstance(prediction.label, Targets):
            numbers = zip(_number_columns(prediction.label), prediction.label, strict=True)
            return {"id": _sound(prediction.id), **dict(numbers)}
        label = _sound(as_written(prediction.label)) if isinstance(prediction.label, str) else float(prediction.label)
        return {"id": _sound(prediction.id), "label": label, "scores": list(prediction.scores)}
    if isinstance(prediction, ContextPrediction):
        return {"id": _sound(prediction.id), "context": prediction.context, "scores": list(prediction.scores)}
    if isinstance(prediction, SetPrediction):
        return {"id": _sound(prediction.id), "answers": list(map(_sound, prediction.answers))}
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


Write = Callable[[Sequence[dict[str, Any]]], object]
"""Adds rows to an open file of one format."""


@contextmanager
def answer_file(path: Path, form: Form, *, source: Path) -> Iterator[Callable[[Sequence[Prediction]], None]]:
    """A file of answers that grows by the blocks (in Parquet: row groups) that the function is given. A file without
    rows has a span's columns.

    Args:
        source: the input that the answers are to, for messages.

    Raises:
        PluginError: the predictions of one run are not all of one kind.
        DataError: a number is NaN or infinite.
    """
    with ExitStack() as opened:
        columns: Columns | None = None
        write: Write | None = None

        def add(predictions: Sequence[Prediction]) -> None:
            nonlocal columns, write
            for prediction in predictions:
                if columns is None:
                    columns = columns_of(prediction)
                own = columns_of(prediction)
                if own is not columns and own != columns:
                    raise PluginError(
                        f"the prediction of {prediction.id!r} is of another kind than those before it: the head's or a "
                        "postprocessor's mistake"
                    )
            if columns is not None:
                write = write or opened.enter_context(_FORMS[form](path, columns))
                rows = [row_of(prediction) for prediction in predictions]
                for row in rows:
                    _check_finite(row, source)
                write(rows)

        yield add
        if write is None:
            opened.enter_context(_FORMS[form](path, SPAN_COLUMNS))


@contextmanager
def _parquet(path: Path, columns: Columns) -> Iterator[Write]:
    """One row group per block."""
    import pyarrow as pa
    import pyarrow.parquet

    types = {"text": pa.string(), "number": pa.float64(), "integer": pa.int32(), "numbers": pa.list_(pa.float64())}
    types["texts"] = pa.list_(pa.string())
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist(list(rows), schema=schema), row_group_size=len(rows))


@contextmanager
def _json_lines(path: Path, _: Columns) -> Iterator[Write]:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield lambda rows: file.writelines(encode(row) + "\n" for row in rows)


@contextmanager
def _csv(path: Path, columns: Columns) -> Iterator[Write]:
    """Lists as JSON in their cell; None as an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        write = csv_rows(file)
        write(columns)

        def write_rows(rows: Sequence[dict[str, Any]]) -> None:
            for row in rows:
                cells = (row.get(name) for name in columns)
                write(json.dumps(each, ensure_ascii=False) if isinstance(each, list) else each for each in cells)

        yield write_rows


_FORMS = {"parquet": _parquet, "jsonl": _json_lines, "csv": _csv}


def _check_finite(row: dict[str, Any], source: Path) -> None:
    for name, value in row.items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise DataError(
                f"the answer's {name} is NaN or infinite and is not written", path=source, row=f"id {row['id']}"
            )
