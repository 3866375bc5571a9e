"""CMRC 2018 and DRCD figures, and the segmentation under them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.metrics import cmrc
from qakit.metrics.cmrc import cmrc2018, cmrc2018_official_format, english_words, longest_common_run
from qakit.metrics.per_example import cmrc2018_per_example
from qakit.values import Answer, Example


def example(id_: str, *golds: str) -> Example:
    return Example(id_, "?", ("context",), tuple(Answer(gold, None) for gold in golds))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("台灣大學", ["台", "灣", "大", "學"]),
        ("《三國》，1990年。", ["三", "國", "1990", "年"]),
        ("NTU 校長 Dr. Lee's", ["ntu", "校", "長", "dr.", "lee", "'s"]),
        ("2,000.5%", ["2,000.5", "%"]),
        ("A…B", ["a…b"]),
        ("韩国SAMSUNG(三星)", ["韩", "国", "samsung", "(", "三", "星", ")"]),
        ("", []),
    ],
)
def test_segments(text: str, expected: list[str]) -> None:
    assert list(cmrc.segments(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't stop.", ["do", "n't", "stop", "."]),
        ("hey! say! jump", ["hey", "!", "say", "!", "jump"]),
        ("it ends. it begins", ["it", "ends", ".", "it", "begins"]),
        ("mr. smith of the u.s. army", ["mr.", "smith", "of", "the", "u.s.", "army"]),
        ('say "yes", please', ["say", "``", "yes", "''", ",", "please"]),
        ("(a) [b] {c}", ["(", "a", ")", "[", "b", "]", "{", "c", "}"]),
        ("cannot gonna wanna 'tis", ["can", "not", "gon", "na", "wan", "na", "'", "tis"]),
        ("wait... what", ["wait", "...", "what"]),
        ("3,000; 5:1", ["3,000", ";", "5:1"]),
        ("the dogs' tails", ["the", "dogs", "'", "tails"]),
        ("   ", []),
    ],
)
def test_english_words(text: str, expected: list[str]) -> None:
    assert english_words(text) == expected


def test_long_texts_take_no_quadratic_time() -> None:
    """Each of these took minutes under a careless pattern."""
    for text in ("a. " * 20_000, "x" * 100_000, "a." + " " * 50_000 + "b.", "." * 50_000 + "a", "'a" * 20_000):
        assert english_words(text)


def test_exact_match_ignores_the_official_punctuation_only() -> None:
    assert cmrc.exact_match("《三國》", "三國 ") == 1.0
    assert cmrc.exact_match("三國!", "三國") == 0.0


def test_f1_is_over_one_unbroken_run() -> None:
    # gold 甲乙丙丁, answer 甲乙x丁: the longest run is 甲乙.
    assert cmrc.run_f1("甲乙丙丁", "甲乙x丁") == pytest.approx(0.5)
    assert cmrc.run_f1("甲", "乙") == 0.0
    assert cmrc.run_f1("", "") == 0.0  # as the official script says


def test_figures_and_their_official_format() -> None:
    gold = [example("a", "甲乙"), example("b", "丙"), example("c", "丁")]
    figures = cmrc2018(gold, {"a": "甲", "b": "丙"})
    assert figures["EM"] == pytest.approx(100 / 3)
    assert figures["F1"] == pytest.approx(100 * (2 / 3 + 1) / 3)
    assert cmrc2018_official_format(figures) == {
        "AVERAGE": "44.444",
        "F1": "55.556",
        "EM": "33.333",
        "TOTAL": 3,
        "SKIP": 1,
    }


def test_only_the_empty_answer_is_right_for_an_unanswerable_question() -> None:
    assert cmrc2018([example("a")], {"a": "。"})["F1"] == 100.0
    assert cmrc2018([example("a")], {"a": "甲"})["F1"] == 0.0


def test_each_examples_figures() -> None:
    columns = cmrc2018_per_example([example("a", "甲乙"), example("b", "丙", "丁")], ["甲", "丁"])
    assert columns["EM"] == [0.0, 100.0]
    assert columns["F1"] == pytest.approx([200 / 3, 100.0])
    assert columns["AVERAGE"] == pytest.approx([100 / 3, 100.0])


def _run_by_table(first: list[str], second: list[str]) -> int:
    """The textbook dynamic programme."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else 0
    return max(map(max, table))


SEGMENTS = st.lists(st.sampled_from(["甲", "乙", "丙", "word", "1"]), max_size=14)


@given(SEGMENTS, SEGMENTS)
def test_the_longest_common_run_is_that_of_the_textbook(first: list[str], second: list[str]) -> None:
    assert longest_common_run(first, second) == _run_by_table(first, second)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_scored(gold: str, answer: str) -> None:
    assert 0.0 <= cmrc.run_f1(gold, answer) <= 1.0
    assert cmrc.exact_match(answer, answer) == 1.0
