"""NTU ML HW7."""

from __future__ import annotations

from typing import Any

import pytest

from qakit.api import Answer, DataError

PARAGRAPHS = ["福岡市的兩大中心地區是博多和天神。", "沒有人用到的段落"]


def hw7(*questions: Any, paragraphs: Any = PARAGRAPHS) -> dict[str, Any]:
    return {"questions": list(questions), "paragraphs": paragraphs}


def question(**fields: Any) -> dict[str, Any]:
    return {
        "id": 0,
        "paragraph_id": 0,
        "question_text": "哪裡?",
        "answer_text": "博多",
        "answer_start": 11,
        "answer_end": 12,
        **fields,
    }


def test_answer_end_is_inclusive(write_json, read):
    (example,), problems = read("hw7", write_json(hw7(question())))
    assert example.id == "0"
    assert example.answers == (Answer("博多", 11),)
    assert (example.answers[0].end, example.document) == (13, "0")
    assert not problems.counts


@pytest.mark.parametrize("absent", [None, "null"])
def test_null_answers_are_unlabelled(absent, write_json, read):
    fields = {"answer_text": absent, "answer_start": absent, "answer_end": absent}
    assert read("hw7", write_json(hw7(question(**fields))))[0][0].answers is None
    bare = {key: value for key, value in question().items() if not key.startswith("answer")}
    assert read("hw7", write_json(hw7(bare)))[0][0].answers is None


def test_the_word_null_can_be_an_answer(write_json, read):
    file = hw7(question(answer_text="null", answer_start=2, answer_end=5), paragraphs=["a null b"])
    assert read("hw7", write_json(file))[0][0].answers == (Answer("null", 2),)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"paragraph_id": 2}, "id 0, field 'paragraph_id': there is no paragraph 2; the last is 1"),
        ({"paragraph_id": -1}, "there is no paragraph -1"),
        ({"paragraph_id": "0"}, "should be a whole number, not the text '0'"),
        ({"answer_text": None}, "there is an offset, but no text"),
        ({"answer_start": "twelve"}, "field 'answer_start': should be a whole number, not the text 'twelve'"),
        ({"answer_text": ["博多"]}, "field 'answer_text': should be text"),
        ({"answer_end": "12"}, "field 'answer_end': should be a whole number"),
        ({"question_text": None}, "field 'question_text': should be text, not null"),
    ],
)
def test_wrong_fields(fields, message, write_json, read):
    with pytest.raises(DataError, match=message):
        read("hw7", write_json(hw7(question(**fields))))


def test_exclusive_end_is_noticed(write_json, read):
    path = write_json(hw7(question(answer_end=13)))
    (example,), problems = read("hw7", path)
    assert example.answers == (Answer("博多", 11),)
    assert problems.counts == {("answer_end", "repaired"): 1}
    with pytest.raises(DataError, match=r"is 13, but '博多' at answer_start ends at 12 \(inclusive\)"):
        read("hw7", path, {"answer_end": "error"})


def test_wrong_start_is_repaired(write_json, read):
    (example,), problems = read("hw7", write_json(hw7(question(answer_start=10, answer_end=11))))
    assert example.answers == (Answer("博多", 11),)
    assert problems.counts == {("answer_offset", "repaired"): 1}


@pytest.mark.parametrize("fields", [{"answer_start": None, "answer_end": None}, {"answer_start": "11"}])
def test_an_offset_that_is_missing_or_text(fields, write_json, read):
    (example,), _ = read("hw7", write_json(hw7(question(**fields))))
    assert example.answers == (Answer("博多", 11),)


def test_paragraphs_must_be_texts_where_they_are_used(write_json, read):
    assert len(read("hw7", write_json(hw7(question(), paragraphs=[PARAGRAPHS[0], None])))[0]) == 1
    with pytest.raises(DataError, match=r"field 'paragraphs\[0\]': should be text, not null"):
        read("hw7", write_json(hw7(question(), paragraphs=[None])))
