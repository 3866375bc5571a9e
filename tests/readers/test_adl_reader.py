"""NTU ADL: several paragraphs for each question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qakit.api import Answer, DataError

CONTEXTS = ["alpha one", "beta two", "gamma three", "delta four", ""]


@pytest.fixture
def write(tmp_path: Path):
    def write_adl(*records: Any, contexts: Any = CONTEXTS, name: str = "context.json") -> Path:
        (tmp_path / name).write_text(json.dumps(contexts), encoding="utf-8")
        path = tmp_path / "train.json"
        path.write_text(json.dumps(list(records)), encoding="utf-8")
        return path

    return write_adl


def record(**fields: Any) -> dict[str, Any]:
    answer = {"text": "two", "start": 5}
    return {"id": "a", "question": "?", "paragraphs": [3, 1, 0, 2], "relevant": 1, "answer": answer, **fields}


def test_numbers_count_within_the_example(write, read):
    (example,), problems = read("adl", write(record()))
    assert example.contexts == ("delta four", "beta two", "alpha one", "gamma three")
    assert (example.relevant, example.answers, example.document) == (1, (Answer("two", 5, context=1),), "1")
    assert not problems.counts


def test_the_schema_of_2021_and_seven_paragraphs(write, read):
    old = record(
        answer=None,
        paragraphs=[0, 1, 2, 3, 0, 1, 2],
        answers=[{"text": "two", "start": 5}, {"text": "beta", "start": 0}],
    )
    (example,), _ = read("adl", write(old))
    assert example.answers == (Answer("two", 5, 1), Answer("beta", 0, 1))
    assert len(example.contexts) == 7


def test_test_files_are_unlabelled(write, read):
    bare = {key: record()[key] for key in ("id", "question", "paragraphs")}
    (example,), _ = read("adl", write(bare))
    assert (example.answers, example.relevant, example.document) == (None, None, "")


def test_fewer_paragraphs_are_fine_unless_promised(write, read):
    path = write(record(paragraphs=[1, 0, 2]))
    assert len(read("adl", path)[0][0].contexts) == 3
    with pytest.raises(DataError, match="there are 3 paragraphs where 4 are promised"):
        read("adl", path, paragraphs=4)
    _, problems = read("adl", path, {"paragraph_count": "keep"}, paragraphs=4)
    assert problems.counts == {("paragraph_count", "kept"): 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"paragraphs": [0, 9]}, r"id a, field 'paragraphs\[1\]': there is no paragraph 9; the last is 4"),
        ({"paragraphs": [0, -1]}, "there is no paragraph -1"),
        ({"paragraphs": []}, "the question has no paragraphs"),
        ({"paragraphs": ["1"]}, "should be a whole number, not the text '1'"),
        ({"paragraphs": 3}, "should be a list, not the number 3"),
        ({"relevant": 4}, "field 'relevant': paragraph 4 is not among the question's paragraphs"),
        ({"relevant": None}, "there is an answer, but not the paragraph that holds it"),
        ({"relevant": "1"}, "field 'relevant': should be a whole number"),
        ({"answer": 2}, "field 'answer': should be an object"),
        ({"answer": {"text": "two", "start": "two"}}, "field 'answer.start': should be a whole number"),
    ],
)
def test_wrong_fields(fields, message, write, read):
    with pytest.raises(DataError, match=message):
        read("adl", write(record(**fields)))


@pytest.mark.parametrize("answer", ["two", {"text": "two"}, {"text": "two", "start": None}])
def test_an_answer_without_an_offset_is_placed_where_it_occurs_once(answer, write, read):
    (expected,), _ = read("adl", write(record()))
    (example,), _ = read("adl", write(record(answer=answer)))
    assert example.answers == expected.answers


def test_context_file_is_named_by_a_setting_beside_the_data(write, read, tmp_path):
    (tmp_path / "sub").mkdir()
    path = write(record(), name="sub/texts.json")
    assert len(read("adl", path, contexts="sub/texts.json")[0]) == 1
    with pytest.raises(
        DataError, match=r"context\.json of this data is missing; the reader's setting `contexts` names it"
    ):
        read("adl", path)


def test_context_file_must_be_a_list_of_texts(write, read):
    with pytest.raises(DataError, match=r"context\.json: should be a list of paragraphs, not an object"):
        read("adl", write(record(), contexts={}))
    with pytest.raises(DataError, match=r"field 'contexts\[3\]': should be text, not the number 4"):
        read("adl", write(record(), contexts=["a", "beta two", "c", 4]))


def test_a_changed_context_file_is_read_again(write, build_reader):
    from qakit.data.read import read_examples

    reader = build_reader("adl")
    path = write(record())
    assert read_examples(reader, path).examples[0].contexts[0] == "delta four"
    write(record(), contexts=["alpha one", "beta two", "gamma three", "changed text"])
    assert read_examples(reader, path).examples[0].contexts[0] == "changed text"
