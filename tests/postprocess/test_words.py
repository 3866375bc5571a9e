"""Answers of whole words."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.pretraining.pieces import _joins
from qakit.values import Candidate, Example, LabelPrediction, SpanPrediction
from qakit_postprocess import TrimToTokensSettings
from qakit_postprocess.words import TrimToTokens, _in_word

CONTEXT = "The king's 1,995 horses cost 3.5 million; 他在北京住了café\u0301s. รัก 한국어를"


def snapped(answer: str, *, context: str = CONTEXT, cut: str = "widen") -> str:
    start = context.index(answer)
    prediction = SpanPrediction("q", answer, (Candidate(answer, start, start + len(answer), 0, 1.0, 0.9),))
    result = TrimToTokens(TrimToTokensSettings.model_validate({"cut": cut}))(
        prediction, Example("q", "?", ("other", context)[1:])
    )
    assert isinstance(result, SpanPrediction)
    assert result.candidates == prediction.candidates
    return result.answer


@pytest.mark.parametrize(
    ("answer", "widened", "trimmed"),
    [
        ("king", "king", "king"),
        ("ing's 1,99", "king's 1,995", "king's 1,995"),
        ("ing's 1,995 hor", "king's 1,995 horses", "1,995"),
        ("orses cost", "horses cost", "cost"),
        ("995", "1,995", "1,995"),
        ("1", "1,995", "1,995"),
        ("3.", "3.5", "3.5"),
        ("cost 3", "cost 3.5", "cost"),
        ("京住", "京住", "京住"),
        ("住了caf", "住了café\u0301s", "住了"),
        ("한국", "한국", "한국"),
        ("รั", "รั", "รั"),
    ],
)
def test_a_cut_word_is_taken_in_or_left_out(answer: str, widened: str, trimmed: str) -> None:
    assert snapped(answer) == widened
    assert snapped(answer, cut="trim") == trimmed


@pytest.mark.parametrize(
    ("context", "answer", "trimmed"),
    [
        ("don't know", "on't kn", "don't know"),
        ("don't know it all", "on't know it al", "know it"),
        ("the rock'n'roll band", "the rock'n'ro", "the"),
        ("the re-entry of ships", "e-entry of sh", "entry of"),
        ("the (old) king's men", "he (old) king's me", "(old) king's"),
        ("the (old) king", "ld) king", "king"),
        ("it cost $1,995", "it cost $1,9", "it cost"),
        ("mild, -5 degrees", "ild, -5 deg", "-5"),
        ("don't know", "n't know", "know"),
        ("it's 'so' late", "'s 'so' la", "'s 'so'"),
    ],
)
def test_what_belongs_to_a_cut_word_goes_with_it(context: str, answer: str, trimmed: str) -> None:
    assert snapped(answer, context=context, cut="trim") == trimmed


def test_scripts_without_words_are_those_of_whole_word_masking_and_hangul() -> None:
    for code in range(0x40000):
        character = chr(code)
        if unicodedata.category(character)[0] == "L" and not unicodedata.name(character, "").startswith(
            ("HANGUL", "HALFWIDTH HANGUL")
        ):
            assert _in_word(character) == _joins(code), hex(code)


def test_the_candidates_place_decides() -> None:
    context = "in a tin"
    candidate = Candidate("in", 6, 8, 0, 1.0, 0.9)
    rule = TrimToTokens(TrimToTokensSettings())
    cleaned = rule(SpanPrediction("q", "in", (candidate,)), Example("q", "?", (context,)))
    assert cleaned.final == "tin"


def test_what_is_no_answer_in_a_context_passes() -> None:
    rule = TrimToTokens(TrimToTokensSettings())
    example = Example("q", "?", (CONTEXT,))
    for prediction in (SpanPrediction("q", ""), SpanPrediction("q", "nowhere"), LabelPrediction("q", "x")):
        assert rule(prediction, example) is prediction


@settings(deadline=None)
@given(st.text(alphabet="ab1., '(-)甲é\u0301한", max_size=12), st.data(), st.sampled_from(["widen", "trim"]))
def test_any_piece_stays_a_piece_and_twice_changes_nothing(context: str, data: st.DataObject, cut: str) -> None:
    first, last = sorted((data.draw(st.integers(0, len(context))), data.draw(st.integers(0, len(context)))))
    prediction = SpanPrediction("q", context[first:last], (Candidate(context[first:last], first, last, 0, 0.0, 1.0),))
    rule, example = TrimToTokens(TrimToTokensSettings.model_validate({"cut": cut})), Example("q", "?", (context,))
    once = rule(prediction, example)
    assert once.final in context
    assert bool(once.final) == bool(prediction.answer)
    if cut == "widen":
        assert prediction.answer in once.final
