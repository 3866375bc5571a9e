"""Reading answer files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from qakit.data.predictions_file import first_ids, read_answers, read_probabilities, read_tab_separated
from qakit.errors import DataError
from qakit.protocols import NoRuntime
from qakit.registry import load_registry
from qakit.values import LabelPrediction, SpanPrediction, Targets


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_json(tmp_path: Path) -> None:
    found = read_answers(file(tmp_path, "a.json", '\ufeff{"b": "甲", "a": ""}'))
    assert list(found.answers.items()) == [("b", "甲"), ("a", "")]
    assert found.columns is None


def test_csv_keeps_texts_as_they_are(tmp_path: Path) -> None:
    content = '\ufeffID,Answer\r\n1,NA\r\n2,"a,b"\r\n\r\n3,""\r\n4,"x\ny"\r\n5, 01\r\n'
    found = read_answers(file(tmp_path, "a.csv", content))
    assert dict(found.answers) == {"1": "NA", "2": "a,b", "3": "", "4": "x\ny", "5": " 01"}
    assert found.columns == ("ID", "Answer")
    assert found.line_end == "\r\n"


def test_of_more_columns_the_names_decide(tmp_path: Path) -> None:
    found = read_answers(file(tmp_path, "a.CSV", "score,Answer,ID\n0.5,x,1\n"))
    assert dict(found.answers) == {"1": "x"}
    assert found.columns == ("ID", "Answer")
    assert found.line_end == "\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            "not json",
            "is not JSON: Expecting value at line 1, column 1; expected one object, id -> answer text",
        ),
        ("a.json", "", "is not JSON"),
        ("a.json", '["x"]', "is a list of 1; expected one JSON object"),
        ("a.json", '"x"', "is the text 'x'; expected one JSON object"),
        ("a.json", '{"q7": 3}', "id q7: the answer is the number 3, not text"),
        ("a.json", '{"q7": NaN}', "id q7: the answer is the number nan, not text"),
        ("a.json", '{"q7": null}', "id q7: the answer is null, not text"),
        ("a.json", '{"q7": ["x", 1]}', "id q7: the answer is a list of 2, not text"),
        ("a.json", '{"q7": {"text": "x"}}', "id q7: the answer is an object, not text"),
        ("a.json", '{"q7": "x", "q7": "y"}', "id q7: comes twice in the file"),
        ("a.json", b'{"q": "\xff"}', r"byte 7 of the file \(0xff\) is not UTF-8"),
        ("a.json", "[" * 100_000, "is not JSON that can be read"),
        ("a.csv", "", "line 1: the header is ''"),
        ("a.csv", "id\n1\n", "line 1: the header is 'id'; expected two columns, id and answer"),
        ("a.csv", "a,b,c\n1,x,3\n", "line 1: the header is 'a,b,c'"),
        (
            "a.csv",
            "id,answer\n1,a\n2,b,c\n",
            "line 3: has 3 columns, the header has 2; quote answers that hold a comma",
        ),
        ("a.csv", "id,answer\n1,a\n1,b\n", "line 3: id 1 comes twice in the file"),
        ("a.csv", 'id,answer\n1,"a\n', "is not well-formed CSV: unexpected end of data"),
    ],
)
def test_each_broken_file_is_named(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = file(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_answers(path)
    assert str(caught.value).startswith(str(path))


ANSWERS = {"q1": "Nora Feld", "q2": "42", "q3": "", "q4": "NA"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("csv", {}),
        ("csv", {"header": False}),
        ("csv", {"header": False, "quoting": "all", "line_end": "\r\n"}),
        ("csv", {"bom": True, "id_column": "qid", "answer_column": "text"}),
        ("squad_json", {}),
        ("jsonl", {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("ids", [frozenset(ANSWERS), frozenset()], ids=["ids known", "ids not known"])
def test_what_our_writers_write_is_read(
    name: str, settings: dict[str, Any], ids: frozenset[str], tmp_path: Path
) -> None:
    writer = load_registry().build("writers", name, settings, NoRuntime())
    path = tmp_path / f"answers{writer.suffix}"
    writer.write([SpanPrediction(id_, text) for id_, text in ANSWERS.items()], path)
    found = read_answers(path, ids=ids)
    assert dict(found.answers) == ANSWERS
    assert (found.headless, found.classes) == (settings.get("header") is False, False)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("classes", [False, True])
def test_what_many_files_are_answered_with_is_read(form: str, classes: bool, tmp_path: Path) -> None:
    from qakit.inference.answer_rows import answer_file

    path = tmp_path / f"a.{form}"
    with answer_file(path, form, source=path) as write:
        write([LabelPrediction("1", "yes") if classes else SpanPrediction("1", "two")])
    found = read_answers(path)
    assert (dict(found.answers), found.classes) == ({"1": "yes" if classes else "two"}, classes)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv.gz", "id,answer\n1,x\n"), ("a.tsv.GZ", "index\tprediction\n1\tx\n"), ("a.json.gz", '{"1": "x"}')],
)
def test_compressed_answers_are_known_by_the_ending_before_gz(name: str, content: str, tmp_path: Path) -> None:
    path = file(tmp_path, name, gzip.compress(content.encode()))
    assert dict(read_answers(path).answers) == {"1": "x"}


def test_compressed_parquet_is_told_to_be_unpacked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet\.gz: Parquet files are compressed inside; unpack this one"):
        read_answers(file(tmp_path, "a.parquet.gz", gzip.compress(b"PAR1")))


def test_one_record_is_no_object_of_answers(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.json"):
        assert dict(read_answers(file(tmp_path, name, '{"id": "1", "answer": "x"}\n')).answers) == {"1": "x"}
    assert dict(
        read_answers(file(tmp_path, "a.json", '[{"id": 1, "label": 2.5}, {"id": 2, "label": true}]')).answers
    ) == {
        "1": "2.5",
        "2": "true",
    }


def test_columns_go_by_their_names(tmp_path: Path) -> None:
    for header, row in (("answer,id", "x,1"), ("Label,ID", "x,1"), ("id,text", "1,x"), ("prediction,id", "x,1")):
        found = read_answers(file(tmp_path, "a.csv", f"{header}\n{row}\n"))
        assert dict(found.answers) == {"1": "x"}, header


@pytest.mark.parametrize(
    ("text", "headless"),
    [
        ("1,a\n2,b\n", True),
        ("id,answer\n1,a\n", False),
        ("qid,text\nabc,a\n", False),
        ("col1,col2\nq1,a\n", False),
        ("56be4db0acb8001400a502ec,a\n56be4db0acb8001400a502ed,b\n", True),
    ],
)
def test_a_first_line_built_like_the_others_is_no_header(text: str, headless: bool, tmp_path: Path) -> None:
    found = read_answers(file(tmp_path, "a.csv", text))
    assert found.headless is headless
    assert len(found.answers) == text.count("\n") - (not headless)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"id": "1", "answer": "x"}\n{"id": "1", "answer": "y"}\n', "line 2: id 1 comes twice"),
        ("a.jsonl", '{"id": "1", "answer": "x"}\n{"id": "2"}\n', "line 2, id 2: the answer is null, not text"),
        ("a.jsonl", '{"id": "1", "answer": "x"}\n\n{"id"\n', r"line 3: is not JSON"),
        ("a.jsonl", '{"id": "1", "answer": "x", "answer": "y"}\n', "line 1: 'answer' comes twice"),
        ("a.jsonl", '{"id": "1", "context": 2}\n{"id": "2", "context": 0}\n', "line 1, id 1: the answer is null"),
        ("a.parquet", "id,answer", "cannot be read as Parquet"),
        ("a.tsv", "1\tx\n1\ty\n", "line 2: id 1 comes twice"),
    ],
)
def test_each_broken_file_of_records_is_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = file(tmp_path, name, content)
    with pytest.raises(DataError, match=message):
        read_answers(path, ids={"1"})


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_answers(tmp_path / "none.json")
    with pytest.raises(DataError, match="is a folder"):
        read_answers(tmp_path)


def test_probabilities(tmp_path: Path) -> None:
    assert read_probabilities(file(tmp_path, "p.json", '{"a": 1, "b": 0.25, "c": -3e-2}')) == {
        "a": 1.0,
        "b": 0.25,
        "c": -0.03,
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("NaN", "nan, not a finite number"),
        ("Infinity", "inf, not a finite number"),
        ('"1"', "the text '1', not a number"),
        ("true", "true, not a number"),
        ("null", "null, not a number"),
    ],
)
def test_probabilities_that_are_none(tmp_path: Path, value: str, message: str) -> None:
    with pytest.raises(DataError, match=f"id q: the value is {message}"):
        read_probabilities(file(tmp_path, "p.json", f'{{"q": {value}}}'))


def test_first_ids() -> None:
    assert first_ids(["a", "b"]) == "a, b"
    assert first_ids(str(number) for number in range(7)) == "0, 1, 2, 3, 4, ..."


def test_tab_separated_answers_are_id_and_answer_below_a_header(tmp_path: Path) -> None:
    file = tmp_path / "SST-2.tsv"
    file.write_bytes('index\tprediction\r\n0\t1\r\n7\ta "quoted" class\r\n'.encode("utf-8-sig"))
    assert read_tab_separated(file) == {"0": "1", "7": 'a "quoted" class'}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: should be two cells with a tab between them, index and prediction; found 1"),
        ("index\tprediction\n0,1\n", "line 2: should be two cells"),
        ("index\tprediction\n0\t1\t2\n", "line 2: .*; found 3"),
        ("index\tprediction\n0\t1\n0\t1\n", "line 3: id 0 comes twice"),
    ],
)
def test_what_is_no_tab_separated_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "SST-2.tsv"
    file.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        read_tab_separated(file)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "nbest"])
def test_several_numbers_are_read_under_their_names(form: str, tmp_path: Path) -> None:
    from qakit.inference.answer_rows import answer_file
    from qakit.inference.nbest_file import write_nbest

    predictions = [LabelPrediction(f"q{number}", Targets((number / 3, 2.0), ("a", "b"))) for number in range(3)]
    path = tmp_path / f"a.{'jsonl' if form == 'nbest' else form}"
    if form == "nbest":
        write_nbest(path, predictions)
    else:
        with answer_file(path, form, source=path) as write:  # type: ignore[arg-type]
            write(predictions)
    found = read_answers(path)
    assert (found.classes, found.several) == (True, True)
    made = [found.made(id_) for id_ in found.answers]
    assert made == predictions
    assert [each.label.names for each in made] == [("a", "b")] * 3  # type: ignore[union-attr]


def test_of_a_table_of_numbers_the_first_column_is_the_id(tmp_path: Path) -> None:
    found = read_answers(file(tmp_path, "a.csv", "qa_id,x,y\n7,1,0.5\n8,2,1e-3\n"))
    assert (found.columns, dict(found.answers)) == (
        ("qa_id", "answer"),
        {"7": '{"x": 1.0, "y": 0.5}', "8": '{"x": 2.0, "y": 0.001}'},
    )
    found = read_answers(file(tmp_path, "a.csv", "x,id,y\n1,7,0.5\n"))
    assert dict(found.answers) == {"7": '{"x": 1.0, "y": 0.5}'}
    for content, message in (
        ("qa_id,x,y\n7,1,0.5\n8,,1\n", "line 3, field 'x': '' is no number, as the first row has"),
        ("qa_id,x,y\n7,1,one\n", "the header is 'qa_id,x,y'; expected two columns"),
        ("qa_id,x,y\n", "the header is 'qa_id,x,y'; expected two columns"),
        ("qa_id,x,y\n7,1,nan\n", "the header is 'qa_id,x,y'; expected two columns"),
    ):
        with pytest.raises(DataError, match=message):
            read_answers(file(tmp_path, "a.csv", content))
    with pytest.raises(DataError, match="line 2, id 2: should hold finite numbers and nothing else"):
        read_answers(file(tmp_path, "a.jsonl", '{"id": 1, "x": 1, "y": 2}\n{"id": 2, "x": 1, "y": "two"}\n'))
