"""Exact match as competitions count it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.metrics.per_example import jaccard_per_example, text_match_per_example
from qakit.metrics.text import character_f1, cleaned, text_match, word_jaccard
from qakit.values import Answer, Example


def example(id_: str, *golds: str) -> Example:
    return Example(id_, "?", ("context",), tuple(Answer(gold, None) for gold in golds))


def test_nothing_is_normalised_unless_asked_for() -> None:
    gold = [example("q", "1,912年")]
    assert text_match(gold, {"q": "1912年"})["exact_match"] == 0.0
    assert text_match(gold, {"q": "1912年"}, remove_characters=",")["exact_match"] == 100.0
    assert text_match([example("q", "A")], {"q": "a"})["exact_match"] == 0.0


def test_strip() -> None:
    gold = [example("q", "甲\u3000")]
    assert text_match(gold, {"q": " 甲"})["exact_match"] == 100.0
    assert text_match(gold, {"q": " 甲"}, strip=False)["exact_match"] == 0.0


def test_f1_is_over_characters() -> None:
    assert character_f1("甲乙丙", "乙丁") == pytest.approx(2 * 1 / 5)
    assert character_f1("", "") == 1.0
    assert character_f1("甲", "") == 0.0


def test_a_missing_answer_scores_zero_and_any_gold_answer_counts() -> None:
    gold = [example("a", "x", "y"), example("b", "z")]
    assert text_match(gold, {"a": "y"}) == {"exact_match": 50.0, "f1": 50.0}


@given(st.text(max_size=12), st.text(max_size=3))
def test_cleaning_twice_changes_nothing_more(text: str, removed: str) -> None:
    once = cleaned(text, remove_characters=removed)
    assert cleaned(once, remove_characters=removed) == once
    columns = text_match_per_example([example("q", text)], [once], remove_characters=removed)
    assert columns["exact_match"] == [100.0]


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("I am Happy today", "happy", 1 / 4),
        ("so sad", "so sad", 1.0),
        ("so sad", "SAD so so", 1.0),
        ("so sad!", "sad", 0.0),  # punctuation is a part of the word
        ("", "", 1.0),
        ("a", "", 0.0),
    ],
)
def test_jaccard_is_of_words_between_white_space(gold: str, answer: str, expected: float) -> None:
    assert word_jaccard(gold, answer) == pytest.approx(expected)


@given(st.text("ab ", max_size=9), st.text("abC ", max_size=9))
def test_jaccard_is_what_the_competitions_page_computes(gold: str, answer: str) -> None:
    one, other = set(gold.lower().split()), set(answer.lower().split())
    if one or other:
        common = one.intersection(other)
        assert word_jaccard(gold, answer) == len(common) / (len(one) + len(other) - len(common))


def test_the_best_of_several_gold_answers_counts() -> None:
    columns = jaccard_per_example([example("q", "red car", "a blue car")], ["blue car"])
    assert columns == {"jaccard": [pytest.approx(100 * 2 / 3)], "exact_match": [0.0]}
