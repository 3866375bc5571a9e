"""One answer from two stages' scores."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.stages.tuning import Reading, combined, log_sum
from qakit.values import Candidate, NoAnswer, SpanPrediction


def span(text: str, score: float) -> Candidate:
    return Candidate(text, 0, len(text), 0, score, 0.0)


def reading(context: int, probability: float, *spans: Candidate, null: float | None = None) -> Reading:
    prediction = SpanPrediction("q", "", spans, None if null is None else NoAnswer(null, 0.0))
    return Reading.of(prediction, context=context, probability=probability, temperature=1.0)


def test_a_reading_holds_log_probabilities_within_its_context() -> None:
    read = reading(2, 0.5, span("a", 1.0), span("b", 0.0), null=0.0)
    total = math.log(math.e + 1 + 1)
    assert [each.score for each in read.spans] == pytest.approx([1 - total, -total])
    assert read.null == pytest.approx(-total)
    assert {each.context for each in read.spans} == {2}


def test_weight_one_is_the_chain_rule() -> None:
    readings = [reading(0, 0.8, span("a", 0.0), span("b", 0.0)), reading(1, 0.2, span("c", 5.0))]
    answer = combined("q", readings, weight=1.0, n_best=5)
    assert [(each.text, each.probability) for each in answer.candidates] == [
        ("a", pytest.approx(0.4)),
        ("b", pytest.approx(0.4)),
        ("c", pytest.approx(0.2)),
    ]


@pytest.mark.parametrize(("weight", "expected"), [(0.0, "c"), (1.0, "a"), (10.0, "a"), ("argmax", "a")])
def test_the_weight_decides_whom_to_believe(weight: float, expected: str) -> None:
    readings = [reading(0, 0.9, span("a", 0.0), span("b", -0.1)), reading(1, 0.1, span("c", 5.0))]
    assert combined("q", readings, weight=weight, n_best=5).answer == expected


def test_argmax_reads_the_likeliest_context_alone() -> None:
    readings = [reading(0, 0.4, span("a", 0.0)), reading(1, 0.6, span("b", 0.0))]
    assert [each.text for each in combined("q", readings, weight="argmax", n_best=5).candidates] == ["b"]


def test_a_text_keeps_its_best_place() -> None:
    readings = [reading(0, 0.3, span("same", 0.0)), reading(1, 0.7, span("same", 0.0), span("other", -9.0))]
    answer = combined("q", readings, weight=1.0, n_best=5)
    assert [(each.text, each.context) for each in answer.candidates] == [("same", 1), ("other", 1)]


def test_no_answer_is_the_sum_over_the_contexts() -> None:
    readings = [reading(0, 0.5, span("a", 0.0), null=0.0), reading(1, 0.5, span("b", 0.0), null=0.0)]
    answer = combined("q", readings, weight=1.0, n_best=5)
    assert answer.null is not None
    assert answer.null.probability == pytest.approx(0.5)


def test_nothing_to_read_gives_no_answer() -> None:
    assert combined("q", [reading(0, 1.0)], weight=1.0, n_best=5) == SpanPrediction("q", "")


def test_an_impossible_context_can_still_be_overruled() -> None:
    readings = [reading(0, 1.0), reading(1, 0.0, span("only", 0.0))]
    assert combined("q", readings, weight=1.0, n_best=5).answer == "only"


scores = st.floats(-50, 50)
contexts = st.lists(
    st.tuples(st.floats(0, 1), st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), scores), max_size=4), scores),
    min_size=1,
    max_size=4,
)


@given(contexts, st.sampled_from([0.0, 0.5, 1.0, 3.0, "argmax"]), st.booleans(), st.floats(0.1, 10))
def test_what_comes_out_is_a_prediction(drawn, weight, no_answer: bool, temperature: float) -> None:
    readings = [
        reading(number, probability, *(span(text, score) for text, score in spans), null=null if no_answer else None)
        for number, (probability, spans, null) in enumerate(drawn)
    ]
    answer = combined("q", readings, weight=weight, n_best=3, temperature=temperature)
    texts = [each.text for each in answer.candidates]
    assert len(texts) == len(set(texts)) <= 3
    assert [each.score for each in answer.candidates] == sorted(
        (each.score for each in answer.candidates), reverse=True
    )
    shares = [each.probability for each in answer.candidates] + ([answer.null.probability] if answer.null else [])
    assert math.fsum(shares) == pytest.approx(1.0 if shares else 0.0)
    assert answer.answer == (texts[0] if texts else "")


@given(st.lists(st.tuples(st.floats(0.01, 1), st.text("abc", min_size=1, max_size=3), scores), min_size=1, max_size=5))
def test_one_context_is_the_span_stage_alone(drawn) -> None:
    spans = sorted({text: span(text, score) for _, text, score in drawn}.values(), key=lambda each: -each.score)
    for weight in (0.0, 1.0, "argmax"):
        answer = combined("q", [reading(0, drawn[0][0], *spans)], weight=weight, n_best=5)
        assert [each.text for each in answer.candidates] == [each.text for each in spans][:5]


def test_log_sum_of_nothing_is_the_log_of_zero() -> None:
    assert log_sum([]) == -math.inf
    assert log_sum([1000.0, 1000.0]) == pytest.approx(1000 + math.log(2))
