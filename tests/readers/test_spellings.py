"""One spelling of whole numbers and booleans, whatever the format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import Answer, DataError, class_name, whole_text

TABLE = {"id": "id", "text_a": "text", "label": "label"}


def written(folder: Path, ending: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"data.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif ending == "parquet":
        parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        mark = "," if ending == "csv" else "\t"
        lines = [rows[0].keys(), *(["" if cell is None else str(cell) for cell in row.values()] for row in rows)]
        path.write_text("".join(mark.join(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([True, False, None], ["true", "false", None]),
        ([1.0, 0.0, None], ["1", "0", None]),
        ([1, 0, None], ["1", "0", None]),
        (["2.5", "nan", "A 1.0"], ["2.5", "nan", "A 1.0"]),
    ],
)
def test_a_class_is_spelt_alike_in_every_format(ending, labels, expected, tmp_path: Path, read):
    rows = [{"id": number, "text": "good", "label": label} for number, label in enumerate(labels)]
    examples, problems = read("table", written(tmp_path, ending, rows), **TABLE)
    assert [example.label for example in examples] == expected
    assert not problems.counts


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_ids_and_offsets_that_pandas_made_floats_are_whole_numbers(ending, tmp_path: Path, read):
    rows = [{"id": 13.0, "q": "?", "c": "alpha one", "a": "one", "s": 6.0, "e": 9.0}]
    columns = {"id": "id", "question": "q", "context": "c", "answer_text": "a", "answer_start": "s", "answer_end": "e"}
    (example,), problems = read("table", written(tmp_path, ending, rows), **columns)
    assert (example.id, example.answers) == ("13", (Answer("one", 6),))
    assert not problems.counts


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_ids_that_are_no_numbers_keep_their_fraction(ending, tmp_path: Path, read):
    rows = [{"id": identifier, "text": "good", "label": 1} for identifier in ("2.0", "2.1", "3.0")]
    examples, _ = read("table", written(tmp_path, ending, rows), **TABLE)
    assert [example.id for example in examples] == ["2.0", "2.1", "3.0"]


def test_regression_with_empty_cells_has_unlabelled_rows(tmp_path: Path, read):
    rows = [{"id": number, "text": "good", "label": label} for number, label in enumerate(["", " ", "1.5"])]
    examples, _ = read("table", written(tmp_path, "csv", rows), **TABLE, label_type="number")
    assert [example.label for example in examples] == [None, None, 1.5]


def test_the_nan_of_json_is_no_label(tmp_path: Path, read):
    examples, _ = read("table", written(tmp_path, "jsonl", [{"id": 1, "text": "good", "label": float("nan")}]), **TABLE)
    assert examples[0].label is None


def test_a_class_with_a_fraction_is_refused_with_the_way_out(tmp_path: Path, read):
    with pytest.raises(DataError, match=r"not the number 0\.5; for regression set the reader's label_type to number"):
        read("table", written(tmp_path, "jsonl", [{"id": 1, "text": "good", "label": 0.5}]), **TABLE)


def test_squad_hw7_and_adl_read_floats_without_fraction(tmp_path: Path, read: Callable[..., Any]):
    qas = [{"id": 13.0, "question": "?", "answers": [{"text": "one", "answer_start": 6.0}]}]
    documents = {
        "squad": {"data": [{"paragraphs": [{"context": "alpha one", "qas": qas}]}]},
        "hw7": {
            "questions": [
                {
                    "id": 13.0,
                    "paragraph_id": 0.0,
                    "question_text": "?",
                    "answer_text": "one",
                    "answer_start": 6.0,
                    "answer_end": 8.0,
                }
            ],
            "paragraphs": ["alpha one"],
        },
        "adl": [
            {
                "id": 13.0,
                "question": "?",
                "paragraphs": [0.0],
                "relevant": 0.0,
                "answer": {"text": "one", "start": 6.0},
            }
        ],
    }
    (tmp_path / "context.json").write_text('["alpha one"]', encoding="utf-8")
    for name, document in documents.items():
        (tmp_path / "data.json").write_text(json.dumps(document), encoding="utf-8")
        (example,), problems = read(name, tmp_path / "data.json")
        assert (example.id, example.answers) == ("13", (Answer("one", 6),)), name
        assert not problems.counts


def test_glue_reads_classes_and_indices_that_pandas_wrote(tmp_path: Path, read):
    (tmp_path / "t.tsv").write_text("index\tsentence1\tsentence2\tlabel\n13.0\ta\tb\t1.0\n", encoding="utf-8")
    (example,), _ = read("glue", tmp_path / "t.tsv", task="WNLI")
    assert (example.id, example.label) == ("13", "1")


@given(st.integers())
def test_a_whole_number_is_the_same_class_however_it_is_written(number: int):
    assert class_name(number) == class_name(f"{number}.0") == class_name(f"{number}.00") == str(number)


@given(st.text())
def test_other_text_stays_as_it_is(text: str):
    if whole_text(text) != text:
        assert float(text) == int(whole_text(text))
    elif text.casefold() not in ("true", "false"):
        assert class_name(text) == text
