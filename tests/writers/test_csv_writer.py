"""The CSV writer and its check against the sample submission."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.errors import DataError
from qakit.testing import check_writer
from qakit.values import LabelPrediction, Prediction, SpanPrediction, Targets
from qakit_writers import CSV, JSONL, CsvSettings, NoSettings
from qakit_writers.table import CsvWriter


def predictions(*pairs: tuple[str, str]) -> list[Prediction]:
    return [SpanPrediction(id_, answer) for id_, answer in pairs]


def written(folder: Path, items: list[Prediction], **settings: Any) -> bytes:
    path = folder / "out.csv"
    CsvWriter(CsvSettings(**settings)).write(items, path)
    return path.read_bytes()


def test_only_what_needs_quotes_is_quoted(tmp_path: Path) -> None:
    items = predictions(("1", "甲"), ("2", "a,b"), ("3", 'say "x"'), ("4", "a\nb"), ("5", "a\rb"), ("6", ""))
    expected = 'id,answer\n1,甲\n2,"a,b"\n3,"say ""x"""\n4,"a\nb"\n5,"a\rb"\n6,\n'
    assert written(tmp_path, items) == expected.encode()


def test_the_look_of_the_file(tmp_path: Path) -> None:
    items = predictions(("1", "1,912"))
    hw7 = {"id_column": "ID", "answer_column": "Answer", "remove_characters": ","}
    assert written(tmp_path, items, **hw7) == b"ID,Answer\n1,1912\n"
    assert written(tmp_path, items, quoting="all", line_end="\r\n") == b'"id","answer"\r\n"1","1,912"\r\n'
    assert written(tmp_path, items, header=False) == b'1,"1,912"\n'
    assert written(tmp_path, items, bom=True).startswith(b"\xef\xbb\xbfid,")


def test_classes_and_numbers(tmp_path: Path) -> None:
    items: list[Prediction] = [LabelPrediction("1", "entailment"), LabelPrediction("2", 3.25)]
    assert written(tmp_path, items) == b"id,answer\n1,entailment\n2,3.25\n"


def test_never_quoting_refuses_what_needs_quotes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'a,b' holds a comma, a quote or a line break and quoting is 'never'"):
        written(tmp_path, predictions(("1", "a,b")), quoting="never")


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    old = written(tmp_path, predictions(("1", "x")))
    with pytest.raises(DataError, match=r"U\+7532 cannot be written as latin-1|iso8859-1"):
        written(tmp_path, predictions(("1", "甲")), encoding="latin-1")
    assert (tmp_path / "out.csv").read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_half_a_surrogate_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"U\+D800 cannot be written as utf-8 \(in the line that begins '7,'\)"):
        written(tmp_path, predictions(("6", "x"), ("7", "\ud800")))


@pytest.mark.parametrize("settings", [{"encoding": "klingon"}, {"encoding": "utf-16", "bom": True}, {"line_end": "\r"}])
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CsvSettings(**settings)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=6), st.text(st.characters(codec="utf-8"), max_size=8)
    ),
    st.sampled_from(["minimal", "all"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_comes_back(answers: dict[str, str], quoting: str, line_end: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.csv"
        writer = CsvWriter(CsvSettings(quoting=quoting, line_end=line_end))
        writer.write(predictions(*answers.items()), path)
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
        assert rows == [["id", "answer"], *([id_, answer] for id_, answer in answers.items())]
        if answers:
            assert writer.check(path, path) == []


# ------------------------------------------------------------------------------------------------------------- check
SAMPLE = b"ID,Answer\r\n0,\r\n1,\r\n2,\r\n"


def problems(folder: Path, content: bytes, sample: bytes = SAMPLE, **settings: Any) -> list[str]:
    (folder / "sample.csv").write_bytes(sample)
    (folder / "mine.csv").write_bytes(content)
    return CsvWriter(CsvSettings(**settings)).check(folder / "mine.csv", folder / "sample.csv")


def test_a_good_file_has_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, b'ID,Answer\n2,NA\n0,"a,b"\n1,""\n') == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id,answer\n0,a\n1,a\n2,a\n", "the columns are 'id,answer', the sample has 'ID,Answer'"),
        (b"ID,Answer\n0,a\n", "2 ids of the sample are missing: 1, 2"),
        (b"ID,Answer\n0,a\n1,a\n2,a\n3,a\n", "1 ids are not in the sample: 3"),
        (b"ID,Answer\n0,a\n1,a\n2,a\n2,b\n", "1 ids are there more than once: 2"),
        (b"ID,Answer\n0,a,b\n1,a\n2,a\n0,c\n", "1 rows do not have 2 columns: line 2"),
        (b"\xef\xbb\xbfID,Answer\n0,a\n1,a\n2,a\n", "begins with a byte order mark (BOM), the sample does not"),
        (b'ID,Answer\n0,a\n1,a\n2,"a\n', "line 4: not well-formed CSV (unexpected end of data)"),
        (b"ID,Answer\n0,\xff\n1,a\n2,a\n", "is not UTF-8 text"),
        (b"", "the columns are '', the sample has 'ID,Answer'"),
    ],
)
def test_each_problem_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems(tmp_path, content)), problems(tmp_path, content)


def test_a_quoted_header_behind_a_byte_order_mark(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf"ID","Answer"\n0,a\n1,a\n2,a\n'
    assert problems(tmp_path, content, sample=b"\xef\xbb\xbf" + SAMPLE) == []
    assert problems(tmp_path, content, bom=True) == []


def test_only_the_first_five_ids_are_listed(tmp_path: Path) -> None:
    sample = b"ID,Answer\n" + b"".join(b"%d,\n" % number for number in range(9))
    assert problems(tmp_path, b"ID,Answer\n0,a\n", sample) == ["8 ids of the sample are missing: 1, 2, 3, 4, 5"]


def test_order_and_empty_answers_matter_where_asked_for(tmp_path: Path) -> None:
    swapped = b"ID,Answer\n1,a\n0,a\n2,a\n"
    assert problems(tmp_path, swapped, same_order=True) == [
        "the rows are in another order than the sample's, from row 1: '1'"
    ]
    filled = b"ID,Answer\n0,x\n1,x\n2,x\n"
    assert problems(tmp_path, b"ID,Answer\n0,a\n1,\n2,a\n", filled) == ["1 answers are empty; the sample has none"]


def test_a_missing_file_is_a_problem_and_a_bad_sample_an_error(tmp_path: Path) -> None:
    writer = CsvWriter(CsvSettings())
    (tmp_path / "sample.csv").write_bytes(SAMPLE)
    assert (
        writer.check(tmp_path / "none.csv", tmp_path / "sample.csv")[0] == "cannot be read: No such file or directory"
    )
    for content in (b"", b"ID,Answer\n", b"\xff"):
        (tmp_path / "bad.csv").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.csv"):
            writer.check(tmp_path / "sample.csv", tmp_path / "bad.csv")


@pytest.mark.slow
def test_many_rows_pass_their_own_check(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    writer = CsvWriter(CsvSettings())
    items = predictions(*((f"{number:024x}", f"答案,{number}") for number in range(200_000)))
    writer.write(items, path)
    assert writer.check(path, path) == []
    with path.open(encoding="utf-8", newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == 200_001


@pytest.mark.shared_data
@pytest.mark.parametrize(("folder", "columns"), [("hw7", ("ID", "Answer")), ("adl", ("id", "answer"))])
def test_the_competitions_samples(shared_data: Path, tmp_path: Path, folder: str, columns: tuple[str, str]) -> None:
    sample = shared_data / folder / "sample_submission.csv"
    with sample.open(encoding="utf-8-sig", newline="") as file:
        ids = [row[0] for row in csv.reader(file)][1:]
    writer = CsvWriter(CsvSettings(id_column=columns[0], answer_column=columns[1]))
    writer.write(predictions(*((id_, "甲,乙") for id_ in ids)), tmp_path / "out.csv")
    assert writer.check(tmp_path / "out.csv", sample) == []
    writer.write(predictions(*((id_, "x") for id_ in ids[1:])), tmp_path / "out.csv")
    assert writer.check(tmp_path / "out.csv", sample) == [f"1 ids of the sample are missing: {ids[0]}"]


def numbers(id_: str, *values: float, names: tuple[str, ...] = ("a", "b, c")) -> Prediction:
    return LabelPrediction(id_, Targets(values, names))


def test_several_numbers_have_a_column_each(tmp_path: Path) -> None:
    items = [numbers("1", 0.5, 1e-07), numbers("2", 1.0, 0.1 + 0.2)]
    expected = 'qa_id,a,"b, c"\n1,0.5,1e-07\n2,1.0,0.30000000000000004\n'
    assert written(tmp_path, items, id_column="qa_id", remove_characters=".") == expected.encode()
    with pytest.raises(DataError, match="id 2: has other numbers than the first one"):
        written(tmp_path, [numbers("1", 1, 2), numbers("2", 1, 2, names=("b, c", "a"))])
    check_writer(CSV, CsvSettings(), _empty(tmp_path), labels=[Targets((0.5, 1), "xy"), Targets((0.25, 0), "xy")])
    check_writer(JSONL, NoSettings(), _empty(tmp_path), labels=[Targets((0.5, 1), "xy"), Targets((0.25, 0), "xy")])


def _empty(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("edcba", "the columns are in another order than the sample's: 'id,a,b,c,d,e'"),
        ("abcdx", "1 of the sample's columns are missing: e; 1 columns are not in the sample: x"),
        ("abcd", "1 of the sample's columns are missing: e"),
        ("abcdef", "1 columns are not in the sample: f"),
    ],
)
def test_of_many_columns_the_wrong_ones_are_named(names: str, message: str, tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("id,a,b,c,d,e\n1,0,0,0,0,0\n")
    path = tmp_path / "out.csv"
    writer = CsvWriter(CsvSettings())
    writer.write([numbers("1", *range(len(names)), names=tuple(names))], path)
    assert writer.check(path, sample) == [message]
