"""MultiSpanQA's tags as answers that belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readers.published_files import json_file, tagged

from qakit.api import Answer, DataError, Problems
from qakit_readers.multispanqa import MultiSpanQAReader

Read = Callable[..., Any]


def test_all_spans_together_are_the_answer(read: Read, tmp_path: Path) -> None:
    (example,), problems = read("multispanqa", json_file({"version": 1.0, "data": [tagged("B O O B I")]})(tmp_path))
    assert (example.question, example.contexts) == ("which towns", ("Ulm is near New Ulm",))
    assert example.answers == (Answer("Ulm", 0), Answer("New Ulm", 12))
    assert example.together
    assert not problems.counts


def test_no_span_is_no_answer_and_no_tags_no_label(read: Read, tmp_path: Path) -> None:
    unlabelled = {name: value for name, value in tagged("O O O O O").items() if name != "label"}
    data = {"data": [tagged("O O O O O", id="a"), unlabelled]}
    (without, asked), _ = read("multispanqa", json_file(data)(tmp_path))
    assert (without.answers, asked.answers) == ((), None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": "B O"}, "there are 5 tokens and 2 tags"),
        ({"labels": "B O O X O"}, "should be O, B or I, not 'X'"),
        ({"labels": "O O", "context": ["two words", "x"]}, "should hold tokens without blanks, not 'two words'"),
        ({"labels": "O O", "context": ["x", 7]}, "should hold tokens without blanks, not"),
        ({"labels": "O", "context": "text"}, "should be a list"),
    ],
)
def test_what_is_wrong_is_told(fields: dict[str, Any], message: str, read: Read, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read("multispanqa", json_file({"data": [tagged(fields.pop("labels"), **fields)]})(tmp_path))


@given(st.lists(st.sampled_from("BIO"), min_size=1, max_size=12))
def test_answers_are_those_of_the_official_script(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    path = json_file({"data": [tagged(" ".join(labels), text=" ".join(map(str, range(len(labels)))))]})(
        tmp_path_factory.mktemp("tags")
    )
    (example,) = MultiSpanQAReader().read(path, Problems(path))
    wanted, begin, before = [], 0, "O"
    for at, label in enumerate([*labels, "O"]):  # as get_entities does
        if before in "BI" and label in "BO":
            wanted.append(" ".join(map(str, range(begin, at))))
        if label == "B" or (before == "O" and label == "I"):
            begin = at
        before = label
    assert [answer.text for answer in example.answers or ()] == wanted
