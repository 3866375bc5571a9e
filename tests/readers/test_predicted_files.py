"""Files that are only predicted: whatever stands where the labels would be is not read, and every record is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qakit.api import DataError, Example, Reader
from qakit.data.read import read_examples

ADL = {"id": "a", "question": "?", "paragraphs": [0, 1]}
HW7 = {"id": 1, "paragraph_id": 0, "question_text": "?"}
QA = {"id": "id", "question": "q", "context": "c"}
CLASSES = {"id": "id", "text_a": "text", "label": "label"}


def squad(*answers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    question = {"id": "1", "question": "?", "answers": list(answers), **fields}
    return {"data": [{"title": "t", "paragraphs": [{"context": "alpha one", "qas": [question]}]}]}


def hw7(**fields: Any) -> dict[str, Any]:
    return {"questions": [{**HW7, **fields}], "paragraphs": ["alpha one"]}


CASES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "a text nowhere in the context": ("squad", {}, "t.json", json.dumps(squad({"text": "TBD", "answer_start": -1}))),
    "null offsets": ("squad", {}, "t.json", json.dumps(squad({"text": "", "answer_start": None}))),
    "no offset": ("squad", {}, "t.json", json.dumps(squad({"text": "?"}))),
    "a contradiction": ("squad", {}, "t.json", json.dumps(squad(is_impossible=False))),
    "an offset without text": ("hw7", {}, "t.json", json.dumps(hw7(answer_start=-1, answer_end=-1))),
    "hw7 text and no offset": ("hw7", {}, "t.json", json.dumps(hw7(answer_text="TBD"))),
    "relevant -1": ("adl", {}, "t.json", json.dumps([ADL | {"relevant": -1}])),
    "an answer that is null inside": ("adl", {}, "t.json", json.dumps([ADL | {"answer": {"text": "", "start": None}}])),
    "the hub's -1": ("table", CLASSES, "t.csv", "id,text,label\n0,good,-1\n"),
    "a placeholder": ("table", CLASSES, "t.csv", "id,text,label\n0,good,TBD\n"),
    "no number": ("table", CLASSES | {"label_type": "number"}, "t.csv", "id,text,label\n0,good,?\n"),
    "an odd label": ("table", CLASSES, "t.jsonl", '{"id": 0, "text": "good", "label": [1]}\n'),
    "a slip in a name that is not needed": ("table", CLASSES, "t.csv", "id,text,lable\n0,good,1\n"),
    "an answer without offset": (
        "table",
        QA | {"answer_text": "a", "answer_start": "s"},
        "t.csv",
        "id,q,c,a,s\n0,?,alpha one,TBD,\n",
    ),
    "no column of offsets": ("table", QA | {"answer_text": "a", "answer_start": "s"}, "t.csv", "id,q,c,a\n0,?,one,x\n"),
    "a list that is none": ("table", QA | {"answers": "a"}, "t.jsonl", '{"id": 0, "q": "?", "c": "one", "a": "TBD"}\n'),
    "a GLUE class": ("glue", {"task": "RTE"}, "t.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t-1\n"),
    "a GLUE number": ("glue", {"task": "STS-B"}, "t.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\t\n"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("policy", ["error", "skip"])
def test_no_label_of_a_predicted_file_is_looked_at(case, policy, tmp_path: Path, build_reader: Callable[..., Reader]):
    name, settings, file, text = CASES[case]
    (tmp_path / "context.json").write_text('["alpha one", "beta two"]', encoding="utf-8")
    (tmp_path / file).write_text(text, encoding="utf-8")
    result = read_examples(
        build_reader(name, **settings), tmp_path / file, policies={"default": policy}, predicted_only=True
    )
    (example,) = result.examples
    assert not example.labelled
    assert example.document in ("", "t", "0")
    assert not result.problems[0].counts


class Verbatim:
    """A reader of somebody else's, which does not ask whether labels are wanted."""

    def read(self, path: Path, problems: Any) -> Any:
        yield Example("1", "text", label="-1")


def test_labels_of_any_reader_are_left_behind():
    (example,) = read_examples(Verbatim(), Path("test.csv"), predicted_only=True).examples
    assert example == Example("1", "text")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,text,label\n0,good,1\n1,a,b,c\n", "line 3: the row has 4 cells"),
        ("id,text,label\n,good,1\n", "line 2, field 'id': the id is empty"),
    ],
)
def test_no_policy_drops_a_record_that_needs_an_answer(text, said, tmp_path: Path, build_reader: Callable[..., Reader]):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    reader = build_reader("table", **CLASSES)
    kept = read_examples(reader, tmp_path / "t.csv", policies={"default": "skip"})
    assert kept.problems[0].skipped == 1
    with pytest.raises(DataError, match=said) as caught:
        read_examples(reader, tmp_path / "t.csv", policies={"default": "skip"}, predicted_only=True)
    assert "every record of a file that is predicted needs an answer" in str(caught.value)
    assert "skip" not in str(caught.value)


def test_where_a_record_would_be_skipped_it_is_kept_or_repaired(tmp_path: Path, build_reader: Callable[..., Reader]):
    rows = [{"id": "1", "text": ""}, {"id": "2", "text": "half \ud800"}, {"id": "2", "text": "again"}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read = read_examples(
        build_reader("table", id="id", text_a="text"),
        tmp_path / "t.jsonl",
        policies={"default": "skip"},
        predicted_only=True,
    )
    assert [(each.id, each.question) for each in read.examples] == [("1", ""), ("2", "half \ufffd"), ("2#2", "again")]
    assert read.problems[0].counts == {
        ("empty_question", "kept"): 1,
        ("lone_surrogate", "repaired"): 1,
        ("duplicate_id", "repaired"): 1,
    }
