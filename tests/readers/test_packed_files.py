"""Files compressed with gzip, and tables in Parquet as datasets on the hub have them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, disable_progress_bars, enable_progress_bars

from qakit.api import DataError, Problems

ANSWERED = {"id": "a", "question": "What?", "answers": [{"text": "rains", "answer_start": 3}]}
SQUAD = {"data": [{"title": "T", "paragraphs": [{"context": "It rains.", "qas": [ANSWERED]}]}]}
ASKED = {"id": 0, "paragraph_id": 0, "question_text": "What?"}
HW7 = {
    "questions": [ASKED | {"answer_text": "rains", "answer_start": 3, "answer_end": 7}],
    "paragraphs": ["It rains."],
}
ROW = {"id": "a", "question": "What?", "context": "It rains.", "answers": {"text": ["rains"], "answer_start": [3]}}
COLUMNS = {"question": "question", "context": "context", "id": "id"}
FILES = {
    "squad": ("squad", "data.json", json.dumps(SQUAD), {}),
    "squad rows": ("squad", "data.jsonl", json.dumps(ROW) + "\n", {}),
    "hw7": ("hw7", "data.json", json.dumps(HW7), {}),
    "glue": ("glue", "train.tsv", "sentence\tlabel\nfine\t1\n", {"task": "SST-2"}),
    "csv": ("table", "data.csv", "id,question,context\na,What?,It rains.\n", COLUMNS),
    "tsv": ("table", "DATA.TSV", "id\tquestion\tcontext\na\tWhat?\tIt rains.\n", COLUMNS),
    "jsonl": ("table", "data.jsonl", json.dumps(ROW) + "\n", COLUMNS | {"answers": "answers"}),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("ending", [".gz", ".GZ", ""])
def test_a_compressed_file_is_read_as_it_is_unpacked(name, ending, tmp_path, read):
    reader, file, text, settings = FILES[name]
    plain, packed = tmp_path / file, tmp_path / "packed" / f"{file}{ending}"
    packed.parent.mkdir()
    plain.write_text(text, "utf-8")
    packed.write_bytes(gzip.compress(text.encode()))
    assert read(reader, packed, **settings)[0] == read(reader, plain, **settings)[0]


def test_the_contexts_beside_a_file_may_be_compressed(tmp_path, read):
    question = {
        "id": "a",
        "question": "What?",
        "paragraphs": [0],
        "relevant": 0,
        "answer": {"text": "rains", "start": 3},
    }
    (tmp_path / "train.json.gz").write_bytes(gzip.compress(json.dumps([question]).encode()))
    (tmp_path / "context.json.gz").write_bytes(gzip.compress(json.dumps(["It rains."]).encode()))
    (example,), _ = read("adl", tmp_path / "train.json.gz", contexts="context.json.gz")
    assert example.contexts == ("It rains.",)


def test_a_compressed_file_is_streamed(tmp_path, build_reader):
    """Rows come before what is damaged behind them."""
    rows = "".join(f"{number},What?,It rains.\n" for number in range(100_000))
    packed = gzip.compress(f"id,question,context\n{rows}".encode())
    path = tmp_path / "data.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    examples = build_reader("table", **COLUMNS).read(path, Problems(path))
    assert next(examples).id == "0"
    with pytest.raises(DataError, match=r"data\.csv\.gz: the gzip file stops short"):
        list(examples)


def write_table(path: Path, rows: list[dict[str, object]], **classes: list[str]) -> Path:
    table = Dataset.from_list(rows)
    disable_progress_bars()
    for column, names in classes.items():
        table = table.cast_column(column, ClassLabel(names=names))
    table.to_parquet(path)
    enable_progress_bars()
    return path


def test_class_ids_are_read_as_their_names_and_minus_one_as_no_label(tmp_path, read):
    rows = [{"text": "a", "kind": 1}, {"text": "b", "kind": 0}, {"text": "c", "kind": -1}]
    named = write_table(tmp_path / "named.parquet", rows, kind=["no", "yes"])
    assert [example.label for example in read("table", named, text_a="text", label="kind")[0]] == ["yes", "no", None]
    bare = write_table(tmp_path / "bare.parquet", rows)
    assert [example.label for example in read("table", bare, text_a="text", label="kind")[0]] == ["1", "0", "-1"]


def test_glue_takes_bare_class_ids_where_they_are_its_own_labels(tmp_path, read):
    path = write_table(tmp_path / "train.parquet", [{"sentence": "a", "label": 1}, {"sentence": "b", "label": 0}])
    assert [(each.id, each.label) for each in read("glue", path, task="CoLA")[0]] == [("0", "1"), ("1", "0")]
    path = write_table(tmp_path / "other.parquet", [{"question": "a", "sentence": "b", "label": 1}])
    with pytest.raises(DataError, match="'1' is none of the labels entailment, not_entailment"):
        read("glue", path, task="QNLI")


def test_a_table_without_glues_columns_is_one_line(tmp_path, read):
    path = write_table(tmp_path / "train.parquet", [{"text": "a", "label": 1}])
    with pytest.raises(DataError, match="SST-2 needs the column 'sentence'; the Parquet table has 'text', 'label'"):
        read("glue", path, task="SST-2")


def test_squads_rows_are_labelled_if_any_has_an_answer(tmp_path, read):
    empty = ROW | {"id": "b", "answers": {"text": [], "answer_start": []}}
    some = write_table(tmp_path / "train.parquet", [ROW, empty])
    assert [example.answers is None for example in read("squad", some)[0]] == [False, False]
    rows = [empty, empty | {"id": "c"}]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert [example.answers for example in read("squad", tmp_path / "test.jsonl")[0]] == [None, None]
    assert [example.answers for example in read("squad", tmp_path / "test.jsonl", labelled=True)[0]] == [(), ()]


def test_what_is_wrong_in_squads_rows_is_counted_once(tmp_path, read):
    moved = ROW | {"id": "b", "answers": {"text": ["rains"], "answer_start": [2]}}
    path = write_table(tmp_path / "train.parquet", [ROW, moved])
    assert dict(read("squad", path)[1].counts) == {("answer_offset", "repaired"): 1}
    (tmp_path / "twice.jsonl").write_text('{"id": "a", "id": "b", "question": "q", "context": "c"}\n', "utf-8")
    assert dict(read("squad", tmp_path / "twice.jsonl")[1].counts) == {("repeated_key", "kept"): 1}
