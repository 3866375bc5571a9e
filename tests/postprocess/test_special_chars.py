"""Clean-up of answers: each rule, and that no text breaks it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.values import Candidate, Example, LabelPrediction, SpanPrediction
from qakit_postprocess import SPECIAL_CHARS, SpecialCharsSettings
from qakit_postprocess.special_chars import SpecialChars

CONTEXT = "羅貫中寫《三國演義》，又稱「三國」（Romance of the Three Kingdoms)；他說“好”。《水滸》傳"


def clean(answer: str, *, context: str = CONTEXT, start: int | None = None, **settings: Any) -> str:
    """The cleaned text of an answer that is the best candidate, at its first place unless told otherwise."""
    place = context.find(answer) if start is None else start
    candidates = (Candidate(answer, place, place + len(answer), 0, 1.0, 0.9),) if place >= 0 else ()
    prediction = SpanPrediction("q", answer, candidates)
    result = SpecialChars(SpecialCharsSettings(**settings))(prediction, Example("q", "?", (context,)))
    assert isinstance(result, SpanPrediction)
    assert result.candidates == candidates
    return result.answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("《三國演義", "《三國演義》"),
        ("三國演義》", "《三國演義》"),
        ("羅貫中寫《三國演義", "羅貫中寫《三國演義》"),
        ("「三國」", "「三國」"),
        ("三國演義", "三國演義"),
        ("（Romance of the Three Kingdoms", "（Romance of the Three Kingdoms)"),
        ("Romance of the Three Kingdoms)", "（Romance of the Three Kingdoms)"),
        ("“好", "“好”"),
        ("《三國", "三國"),
        ("他說“", "他說"),
        ("》", "》"),
    ],
)
def test_a_lone_half_takes_its_mate_from_the_context_or_goes(answer: str, expected: str) -> None:
    assert clean(answer) == expected


def test_halves_inside_an_answer_stay() -> None:
    assert clean("寫《三國") == "寫《三國"


def test_the_place_of_the_candidate_decides_not_the_first_occurrence() -> None:
    context = "《甲》乙，又《甲乙》"
    assert clean("甲", context=context, start=1) == "甲"
    assert clean("《甲", context=context, start=0) == "《甲》"
    assert clean("《甲", context=context, start=6) == "甲"


def test_without_a_candidate_the_first_occurrence_is_used() -> None:
    prediction = SpanPrediction("q", "《三國演義")
    cleaned = SpecialChars(SpecialCharsSettings())(prediction, Example("q", "?", ("無", CONTEXT)))
    assert cleaned == SpanPrediction("q", "《三國演義》")


def test_always_writes_the_missing_half() -> None:
    assert clean("《三國", complete="always") == "《三國》"
    assert clean("國演義」", complete="always") == "「國演義」"
    assert clean("《三國演義", complete="always") == "《三國演義》"
    assert clean("(三國", complete="always") == "(三國)"


def test_drop_and_keep() -> None:
    assert clean("《三國演義", complete="drop") == "三國演義"
    assert clean("《三國演義", complete="keep") == "《三國演義"


def test_other_pairs() -> None:
    assert clean("《三國", pairs="") == "《三國"
    assert clean("[三國", context="他[三國]", pairs="[]") == "[三國]"


@pytest.mark.parametrize("space", [" ", "\u3000", "\u00a0", "\u200b", "\ufeff", "\r\n", "\t"])
def test_strip(space: str) -> None:
    assert clean(f"{space}三國 演義{space}") == "三國 演義"
    assert clean(f"{space}三國{space}", strip=False) == f"{space}三國{space}"


def test_a_stripped_answer_keeps_its_place() -> None:
    assert clean(" 「乙", context="「乙丙」 「乙」") == "「乙」"


def test_punctuation_that_no_answer_ends_with() -> None:
    assert clean("，又稱「三國」") == "又稱「三國」"
    assert clean("羅貫中寫《三國演義》，") == "羅貫中寫《三國演義》"
    assert clean("，", context="甲，乙") == "，"
    assert clean("甲，", context="甲，乙", edges="") == "甲，"
    assert clean("甲。", context="甲。乙") == "甲。"
    assert clean("、《甲", context="乙、《甲》") == "《甲》"


def test_remove() -> None:
    assert clean("1,912 年", remove=",") == "1912 年"
    assert clean(", 三國 ,", remove=",") == "三國"
    assert clean("《三,國", context="《三,國》", remove=",") == "《三國》"


def test_an_empty_answer_stays_and_a_label_passes() -> None:
    assert clean("") == ""
    label = LabelPrediction("q", "positive")
    assert SpecialChars(SpecialCharsSettings())(label, Example("q", "?")) is label


def test_an_unchanged_prediction_is_the_same_object() -> None:
    prediction = SpanPrediction("q", "三國")
    assert SpecialChars(SpecialCharsSettings())(prediction, Example("q", "?", (CONTEXT,))) is prediction


@pytest.mark.parametrize("pairs", ["《", "《》《》", "ab", " \u3000", "\u200b\u200c"])
def test_pairs_that_are_none(pairs: str) -> None:
    with pytest.raises(ValidationError, match="pairs"):
        SpecialCharsSettings(pairs=pairs)


BRACKETY = st.text(alphabet=st.sampled_from("ab, \u3000《》「」『』（）()【】〈〉“”"), max_size=12)


@st.composite
def spans(draw: st.DrawFn) -> tuple[SpanPrediction, Example]:
    """An example and a prediction with several candidates, the answer being one of them (or anything)."""
    context = draw(BRACKETY | st.text(max_size=12))
    ends = st.tuples(st.integers(0, len(context)), st.integers(0, len(context)))
    places = [tuple(sorted(pair)) for pair in draw(st.lists(ends, max_size=3))]
    candidates = tuple(Candidate(context[a:b], a, b, 0, 0.0, 0.1) for a, b in places)
    texts = [candidate.text for candidate in candidates]
    answer = draw(st.sampled_from(texts) | BRACKETY if texts else BRACKETY | st.text(max_size=8))
    return SpanPrediction("q", answer, candidates), Example("q", "?", (context,))


SETTINGS = st.builds(
    SpecialCharsSettings,
    strip=st.booleans(),
    complete=st.sampled_from(["context", "always", "drop", "keep"]),
    edges=st.sampled_from(["", ",", "，、；：,;:", "》a"]),
    remove=st.sampled_from(["", ",", "「", "》a", "「（,"]),
)


@given(spans(), SETTINGS)
def test_any_text_is_cleaned_and_cleaning_twice_changes_nothing(
    span: tuple[SpanPrediction, Example], settings: SpecialCharsSettings
) -> None:
    prediction, example = span
    rule = SpecialChars(settings)
    once = rule(prediction, example)
    assert rule(once, example) == once
    assert isinstance(once, SpanPrediction)
    assert not set(once.answer) & set(settings.remove)


@given(spans())
def test_by_default_the_answer_stays_a_piece_of_its_context(span: tuple[SpanPrediction, Example]) -> None:
    prediction, example = span
    if prediction.answer in example.contexts[0]:
        cleaned = SpecialChars(SpecialCharsSettings())(prediction, example)
        assert isinstance(cleaned, SpanPrediction)
        assert cleaned.answer in example.contexts[0]


def test_the_component_builds_it() -> None:
    from qakit.protocols import NoRuntime

    assert isinstance(SPECIAL_CHARS.build(SpecialCharsSettings(), NoRuntime()), SpecialChars)
