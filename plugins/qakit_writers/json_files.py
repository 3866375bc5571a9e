"""The JSON writers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from qakit.api import DataError, LabelPrediction, Prediction, SetPrediction, SpanPrediction, Targets
from qakit_writers import SquadJsonSettings
from qakit_writers.check import WIDEST_CELL, Rows, compare
from qakit_writers.lines import write_lines


class SquadJsonWriter:
    """One JSON object, id -> text, or id -> list of texts where a question may have several answers."""

    suffix = ".json"

    def __init__(self, settings: SquadJsonSettings) -> None:
        self._no_answer_probability = settings.no_answer_probability

    def write(self, predictions: Sequence[Prediction], path: Path) -> None:
        """Write the file atomically, and ``NAME.no_answer_probability.json`` beside it if the settings ask for it.

        Raises:
            DataError: no-answer probabilities are wanted and a prediction has none.
        """
        probabilities = _probabilities(predictions) if self._no_answer_probability else None
        write_lines(path, _object({prediction.id: _value(prediction) for prediction in predictions}))
        if probabilities is not None:
            write_lines(path.with_name(f"{path.stem}.no_answer_probability.json"), _object(probabilities))

    def check(self, path: Path, sample: Path) -> list[str]:
        """Problems of a written file against a sample (JSON, id -> text; or CSV); empty when it is fine."""
        try:
            pairs = json.loads(path.read_bytes(), object_pairs_hook=list)
        except (OSError, ValueError, RecursionError) as error:
            return [f"is not readable JSON ({error})"]
        if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
            return ["is not one JSON object, id -> text"]
        return compare(_rows(pairs), _sample_rows(sample))


class JsonlWriter:
    """One JSON object a line."""

    suffix = ".jsonl"

    def write(self, predictions: Sequence[Prediction], path: Path) -> None:
        """Write ``{"id", "answer"}`` (``{"id", "label"}``) lines atomically."""
        write_lines(path, (json.dumps(_record(item), ensure_ascii=False) + "\n" for item in predictions))

    def check(self, path: Path, sample: Path) -> list[str]:
        """Problems of a written file against a sample (the same format, JSON or CSV); empty when it is fine."""
        try:
            rows = _jsonl_rows(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return [f"is not readable as JSON lines with an id ({error})"]
        return compare(rows, _sample_rows(sample))


def _value(prediction: Prediction) -> str | list[str]:
    return list(prediction.answers) if isinstance(prediction, SetPrediction) else prediction.final


def _object(values: Mapping[str, str | list[str] | float]) -> Iterator[str]:
    """The lines of a JSON object, one entry each."""
    last = len(values) - 1
    entries = (
        f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}{',' if i < last else ''}\n"
        for i, (key, value) in enumerate(values.items())
    )
    return chain(["{\n"], entries, ["}\n"])


def _probabilities(predictions: Sequence[Prediction]) -> dict[str, float]:
    found = {}
    for prediction in predictions:
        if not isinstance(prediction, SpanPrediction) or prediction.null is None:
            raise DataError(
                "has no no-answer probability; set predict.no_answer: true or no_answer_probability: false",
                row=f"id {prediction.id}",
            )
        found[prediction.id] = prediction.null.probability
    return found


def _record(prediction: Prediction) -> dict[str, Any]:
    if isinstance(prediction, SpanPrediction):
        return {"id": prediction.id, "answer": prediction.answer}
    if isinstance(prediction, SetPrediction):
        return {"id": prediction.id, "answer": list(prediction.answers)}
    if isinstance(prediction, LabelPrediction):
        label = prediction.label
        return {"id": prediction.id, "label": label.by_name() if isinstance(label, Targets) else label}
    return {"id": prediction.id, "context": prediction.context}


def _rows(pairs: Sequence[tuple[str, Any]]) -> Rows:
    return Rows(ids=[id_ for id_, _ in pairs], empty_answers=sum(answer in ("", []) for _, answer in pairs))


def _jsonl_rows(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig") as file:
        records = [json.loads(line) for line in file if line.strip()]
    return _rows([(str(record["id"]), record.get("answer", record.get("label"))) for record in records])


def _sample_rows(sample: Path) -> Rows:
    csv.field_size_limit(WIDEST_CELL)
    try:
        if sample.suffix.lower() == ".csv":
            with sample.open(encoding="utf-8-sig", newline="") as file:
                rows = [row for row in csv.reader(file, strict=True) if row][1:]
            return _rows([(row[0], row[-1]) for row in rows])
        if sample.suffix.lower() == ".jsonl":
            return _jsonl_rows(sample)
        return _rows(list(json.loads(sample.read_bytes()).items()))
    except (OSError, ValueError, csv.Error, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"is not a readable sample submission ({error})", path=sample) from None
