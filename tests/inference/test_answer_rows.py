"""Predictions as flat rows: what is written is read back, in every format and however it is cut into blocks."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qakit.errors import DataError, PluginError
from qakit.inference.answer_rows import SPAN_COLUMNS, answer_file, row_of
from qakit.inference.stream_inputs import FORMS, Form
from qakit.values import (
    Candidate,
    ContextPrediction,
    LabelPrediction,
    NoAnswer,
    Prediction,
    SetPrediction,
    SpanPrediction,
    Targets,
)

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["\r", "a\rb", '"', ",", "\n", "\u2028", "\0", "=1+1", ""]
)
number = st.floats(allow_nan=False, allow_infinity=False)
spans = st.builds(
    SpanPrediction,
    anything,
    anything,
    st.lists(st.builds(Candidate, anything, st.none() | st.integers(0, 9), st.none(), st.just(0), number, number)).map(
        tuple
    ),
    st.none() | st.builds(NoAnswer, number, number),
)
several_numbers = st.lists(number, max_size=3).map(tuple)
kinds = st.sampled_from(
    [
        spans,
        st.builds(LabelPrediction, anything, anything, several_numbers),
        st.builds(LabelPrediction, anything, number, st.just(())),
        st.builds(ContextPrediction, anything, st.integers(0, 5), several_numbers),
        st.builds(LabelPrediction, anything, st.tuples(number, number).map(lambda pair: Targets(pair, ("id", "b, c")))),
    ]
)
some_predictions = kinds.flatmap(lambda kind: st.lists(kind, min_size=1, max_size=6))


def read_back(path: Path, form: Form) -> list[dict[str, Any]]:
    if form == "parquet":
        return list(pq.read_table(path).to_pylist())
    if form == "jsonl":
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        name: json.dumps(value) if isinstance(value, list) else "" if value is None else str(value)
        for name, value in row.items()
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_predictions, st.integers(1, 6), st.sampled_from(FORMS))
def test_what_is_written_is_read_back(tmp_path: Path, predictions: list[Prediction], block: int, form: Form) -> None:
    path = tmp_path / "answers"
    with answer_file(path, form, source=Path("in")) as write:
        for first in range(0, len(predictions), block):
            write(predictions[first : first + block])
    expected = [row_of(prediction) for prediction in predictions]
    assert read_back(path, form) == (list(map(as_cells, expected)) if form == "csv" else expected)


def test_the_best_span_stays_where_no_answer_won() -> None:
    candidates = (Candidate("two", 4, 7, 1, 2.5, 0.25), Candidate("one", 0, 3, 0, 1.0, 0.1))
    row = row_of(SpanPrediction("q", "", candidates, NoAnswer(3.5, 0.65)))
    assert row == {
        "id": "q", "answer": "", "score": 2.5, "probability": 0.25, "context": 1, "start": 4, "end": 7,
        "no_answer_score": 3.5, "no_answer_probability": 0.65,
    }  # fmt: skip


def test_a_block_is_a_row_group_and_no_row_is_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "answers.parquet"
    with answer_file(path, "parquet", source=path) as write:
        for size in (2, 3):
            write([SpanPrediction(str(each), "a") for each in range(size)])
    read = pq.ParquetFile(path)
    assert [read.metadata.row_group(group).num_rows for group in range(read.num_row_groups)] == [2, 3]
    with answer_file(path, "parquet", source=path):
        pass
    assert (pq.read_table(path).num_rows, pq.read_schema(path).names) == (0, list(SPAN_COLUMNS))


@pytest.mark.parametrize("form", FORMS)
def test_lone_surrogates_do_not_stop_a_file(tmp_path: Path, form: Form) -> None:
    with answer_file(tmp_path / "a", form, source=Path("in")) as write:
        write([SpanPrediction("q", "a\ud800b")])
    assert read_back(tmp_path / "a", form)[0]["answer"] == "a\ufffdb"


def test_lists_in_cells_are_to_be_read_by_people(tmp_path: Path) -> None:
    with answer_file(tmp_path / "a", "csv", source=Path("in")) as write:
        write([SetPrediction("q", ("台北", "東京"))])
    assert '台北"", ""東京' in (tmp_path / "a").read_text("utf-8")


@pytest.mark.parametrize("form", FORMS)
def test_numbers_that_are_none_are_refused(tmp_path: Path, form: Form) -> None:
    wrong = SpanPrediction("q", "a", (Candidate("a", 0, 1, 0, math.nan, 0.5),))
    with (
        pytest.raises(DataError, match=r"^in, id q: the answer's score is NaN or infinite"),
        answer_file(tmp_path / "a", form, source=Path("in")) as write,
    ):
        write([wrong])


def test_one_file_holds_one_kind_of_prediction(tmp_path: Path) -> None:
    with (
        pytest.raises(PluginError, match="the prediction of 'b' is of another kind"),
        answer_file(tmp_path / "a", "csv", source=Path("in")) as write,
    ):
        write([SpanPrediction("a", ""), LabelPrediction("b", "yes")])
