"""``qakit data split``: MLE-bench's rows are held back, and the new folder serves a recipe as the old one did."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from qakit.data.practice import _held_back, make_practice
from qakit.data.read import read_examples
from qakit.errors import DataError, QakitError, UsageError
from qakit.protocols import NoRuntime
from qakit.registry import load_registry


def csv_file(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def tweets(tmp_path: Path) -> Path:
    folder = tmp_path / "tweets"
    folder.mkdir()
    rows = [[f"t{n}", f'so "sad",\nnumber {n}', f"number {n}", "negative"] for n in range(45)]
    csv_file(folder / "train.csv", [["textID", "text", "selected_text", "sentiment"], *rows])
    csv_file(folder / "test.csv", [["textID", "text", "sentiment"], ["x1", "fine", "positive"]])
    csv_file(folder / "sample_submission.csv", [["textID", "selected_text"], ["x1", "word"], ["x10", "word"]])
    return folder


def test_a_tenth_is_held_back(tweets: Path, tmp_path: Path) -> None:
    done = make_practice(tweets, tmp_path / "new")
    new = {path.name: csv_rows(path) for path in (tmp_path / "new").iterdir()}
    _, held = train_test_split(csv_rows(tweets / "train.csv"), test_size=0.1, random_state=0)
    assert done.labels == ("selected_text",)
    assert (done.train, done.test) == (40, 5) == (len(new["train.csv"]), len(new["test.csv"]))
    assert sorted(map(str, new["answers.csv"])) == sorted(map(str, held))
    assert [list(row) for row in new["test.csv"]] == [["textID", "text", "sentiment"]] * 5
    ids = [row["textID"] for row in new["answers.csv"]]
    assert new["sample_submission.csv"] == [{"textID": id_, "selected_text": "word"} for id_ in ids]


def test_a_lone_carriage_return_stays_in_its_cell(tweets: Path, tmp_path: Path) -> None:
    rows = [[f"t{n}", f"a\rb {n}", "a", "negative"] for n in range(20)]
    csv_file(tweets / "train.csv", [["textID", "text", "selected_text", "sentiment"], *rows])
    make_practice(tweets, tmp_path / "new")
    columns = {"id": "textID", "question": "sentiment", "context": "text"}
    reader = load_registry().build("readers", "table", columns, NoRuntime())
    read = read_examples(reader, [tmp_path / "new" / name for name in ("train.csv", "test.csv")]).examples
    assert sorted(each.contexts[0] for each in read) == sorted(row[1] for row in rows)


def test_lines_are_drawn_by_the_thousand_and_a_question_may_have_two_answers(tmp_path: Path) -> None:
    def lines(name: str, records: list[dict[str, object]]) -> None:
        (tmp_path / name).write_text("".join(json.dumps(each) + "\n" for each in records), "utf-8")

    questions: list[dict[str, object]] = [{"example_id": n, "question": "¿?", "annotations": [n]} for n in range(1030)]
    lines("nq-train.jsonl", questions)
    lines("nq-test.jsonl", [{"example_id": -5, "question": "?"}])
    csv_file(tmp_path / "sample_submission.csv", [["example_id", "A"], ["-5_long", ""], ["-5_short", ""]])
    done = make_practice(tmp_path, tmp_path / "new")
    assert done.test == 103
    held = [json.loads(line) for line in done.answers.read_text("utf-8").splitlines()]
    assert sum(each["example_id"] >= 1000 for each in held) == 3
    asked = [json.loads(line) for line in (tmp_path / "new" / "nq-test.jsonl").read_text("utf-8").splitlines()]
    assert asked == [{key: value for key, value in each.items() if key != "annotations"} for each in held]
    ids = [row["example_id"] for row in csv_rows(tmp_path / "new" / "sample_submission.csv")]
    assert ids == [f"{each['example_id']}_{kind}" for each in held for kind in ("long", "short")]


@settings(max_examples=50)
@given(st.integers(2, 400), st.floats(0.05, 0.9), st.integers(0, 99))
def test_the_rows_are_those_of_scikit_learn(total: int, share: float, seed: int) -> None:
    mine = _held_back(total, share, seed, total)
    if 0 < len(mine) < total:
        assert mine == {*train_test_split(range(total), test_size=share, random_state=seed)[1]}


def test_what_cannot_be_split_is_one_line_and_nothing_is_written(tweets: Path, tmp_path: Path) -> None:
    def refused(kind: type[QakitError], words: str, **settings: float) -> None:
        with pytest.raises(kind, match=words):
            make_practice(tweets, tmp_path / "new", **settings)  # type: ignore[arg-type]
        assert not (tmp_path / "new").exists()

    for share in (0.0, 1.0, 30.0, float("nan")):
        refused(UsageError, "it must be between 0 and 1", share=share)
    refused(UsageError, "some must be held back", share=0.999)
    train = tweets / "train.csv"
    whole = train.read_text("utf-8")
    train.write_text(whole + "t99,short\n", "utf-8")
    refused(DataError, "line 92: has not as many cells as the header")
    csv_file(train, [["textID", "text", "sentiment"], ["t1", "a", "b"]])
    refused(DataError, "where are the labels")
    train.write_text(whole, "utf-8")
    (tweets / "train2.csv").write_text(whole, "utf-8")
    refused(UsageError, r"which is the train file\? --train FILE \(train.csv, train2.csv\)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"textID,text,selected_text,sentiment\n", "of 0 rows are 0"),
        ("textID,text,selected_text,sentiment\n1,caf\xe9,a,b\n".encode("latin-1"), "is not UTF-8"),
        (b"textID,text,text,selected_text,sentiment\n1,a,b,c,d\n2,a,b,c,d\n", "two columns called 'text'"),
    ],
)
def test_a_training_file_that_cannot_be_split_is_named(tweets: Path, tmp_path: Path, text: bytes, words: str) -> None:
    (tweets / "train.csv").write_bytes(text)
    with pytest.raises(QakitError, match=words):
        make_practice(tweets, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_keys_that_only_later_records_have_are_columns(tmp_path: Path) -> None:
    """The title is no label, and no test record loses it; the first training record has no label."""
    records: list[dict[str, object]] = [{"id": n, "title": "t", "q": "?"} | ({"y": n} if n else {}) for n in range(6)]
    (tmp_path / "train.jsonl").write_text("\n" + "".join(json.dumps(each) + "\n" for each in records), "utf-8")
    (tmp_path / "test.jsonl").write_text('{"id": 9, "q": "?"}\n{"id": 8, "q": "?", "title": "t"}\n', "utf-8")
    done = make_practice(tmp_path, tmp_path / "new", share=0.5)
    assert done.labels == ("y",)
    held = (tmp_path / "new" / "test.jsonl").read_text("utf-8").splitlines()
    assert [list(json.loads(line)) for line in held] == [["id", "q", "title"]] * 3


def test_a_record_without_the_id_of_the_sample_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"id": 1, "y": 1}\n{"y": 1}\n' * 3, "utf-8")
    (tmp_path / "test.jsonl").write_text('{"id": 9}\n', "utf-8")
    csv_file(tmp_path / "sample_submission.csv", [["id", "y"], ["9", "0"]])
    with pytest.raises(DataError, match="has no 'id', as the sample submission has"):
        make_practice(tmp_path, tmp_path / "new", share=0.8)
