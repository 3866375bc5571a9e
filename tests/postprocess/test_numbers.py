"""Numbers with their units, or without."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.values import Answer, Candidate, Example, SpanPrediction
from qakit_postprocess import NumberUnitsSettings
from qakit_postprocess.numbers import ENOUGH, NumberUnits

CONTEXT = "全長5公里，始建於1995年，佔12 %，約3萬多人；1,234.5 km of road, 7 men, B52個, 20年代初, 88公里路"


def mended(answer: str, *, context: str = CONTEXT, start: int | None = None, **settings: Any) -> str:
    place = context.index(answer) if start is None else start
    candidates = (Candidate(answer, place, place + len(answer), 0, 1.0, 0.9),)
    rule = NumberUnits(NumberUnitsSettings(**settings))
    return rule(SpanPrediction("q", answer, candidates), Example("q", "?", (context,))).final


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("5", "5公里"),
        ("1995", "1995年"),
        ("12", "12 %"),
        ("3", "3萬多人"),
        ("1,234.5", "1,234.5 km"),
        ("7", "7"),  # m is no unit of "7 men"
        ("234.5", "234.5"),  # the tail of a number
        ("52", "52"),  # of a name
        ("20", "20年代"),
        ("5公里", "5公里"),
        ("全長5", "全長5"),
    ],
)
def test_a_number_gets_the_longest_unit_behind_it(answer: str, expected: str) -> None:
    assert mended(answer) == expected


def test_a_number_loses_its_unit() -> None:
    lose = {"add": (), "drop": ("年", "km", "%")}
    assert mended("1995年", **lose) == "1995"
    assert mended("1,234.5 km", **lose) == "1,234.5"
    assert mended("5公里", **lose) == "5公里"
    assert mended("始建於1995年", **lose) == "始建於1995年"


@pytest.mark.parametrize(
    ("answer", "number"),
    [("3萬多人", "3萬多"), ("5百人", "5百"), ("12 億人", "12 億"), ("20多 人", "20多"), ("7人", "7")],
)
def test_without_its_unit_it_is_the_same_number(answer: str, number: str) -> None:
    context = f"共{answer}參加"
    assert mended(answer, context=context, add=(), drop=("人",)) == number
    assert mended(number, context=context, add=("人",)) == answer


@pytest.mark.parametrize(
    "context",
    [
        "佔3分之一",
        "第3世界大戰",
        "共3個人",
        "這3日本人",
        "這3人物",
        "第3點名單",
        "3分類",
        "滿3周年",
        "the 3 second-hand cars",
        "3 m2 of land",
    ],
)
def test_a_word_that_begins_like_a_unit_is_none(context: str) -> None:
    assert mended("3", context=context) == "3"


def test_a_unit_is_not_the_beginning_of_a_longer_one() -> None:
    """Even where that one is not among those to add."""
    assert mended("20", add=("年",)) == "20"
    assert mended("3", context="3日元", add=("日",)) == "3"


def test_the_place_decides() -> None:
    context = "5個，5年"
    assert mended("5", context=context, start=0) == "5個"
    assert mended("5", context=context, start=3) == "5年"


def labelled(text: str, answer: str) -> Example:
    return Example("q", "?", (text,), (Answer(answer, text.index(answer)),))


def test_gold_answers_teach_each_unit_by_itself() -> None:
    examples = [labelled("走了5公里", "5公里")] * ENOUGH + [labelled("有7個省", "7")] * (ENOUGH - 1)
    learnt = NumberUnits(NumberUnitsSettings()).learn(examples)
    assert learnt == {"add": ["公里"], "drop": []}, "too few answers say how 個 is written"
    learnt = NumberUnits(NumberUnitsSettings()).learn([*examples, labelled("有7個省", "7")])
    assert learnt == {"add": ["公里"], "drop": ["個"]}
    NumberUnitsSettings.model_validate(learnt)
    assert NumberUnits(NumberUnitsSettings()).learn([Example("q", "?", ("甲",))]) == {"add": [], "drop": []}


def test_a_question_counts_once_for_each_text() -> None:
    twice = Example("q", "?", ("走了5公里",), (Answer("5公里", 2), Answer("5公里", 2)))
    assert NumberUnits(NumberUnitsSettings()).learn([twice] * (ENOUGH - 1)) == {"add": [], "drop": []}


def test_million_is_never_dropped() -> None:
    examples = [labelled("7 million people", "7")] * ENOUGH
    assert NumberUnits(NumberUnitsSettings()).learn(examples) == {"add": [], "drop": []}


@pytest.mark.parametrize("settings", [{"add": ("",)}, {"drop": ("7個",)}, {"add": ("年",), "drop": ("年",)}])
def test_units_that_are_none(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"unit|in `add`"):
        NumberUnitsSettings(**settings)


@settings(deadline=None)
@given(st.text(alphabet="15.,年個 km萬", max_size=10), st.data())
def test_what_is_added_stands_in_the_context_and_twice_changes_nothing(context: str, data: st.DataObject) -> None:
    first, last = sorted((data.draw(st.integers(0, len(context))), data.draw(st.integers(0, len(context)))))
    text = context[first:last]
    prediction = SpanPrediction("q", text, (Candidate(text, first, last, 0, 0.0, 1.0),))
    rule, example = NumberUnits(NumberUnitsSettings()), Example("q", "?", (context,))
    once = rule(prediction, example)
    assert once.final in context
    assert once.final.startswith(text)
    assert rule(once, example) == once
