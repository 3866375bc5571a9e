"""Candidates under a prior over the answer's length."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.values import Answer, Candidate, Example, SpanPrediction
from qakit_postprocess import LengthPriorSettings
from qakit_postprocess.lengths import LengthPrior

EXAMPLE = Example("q", "?", ("x" * 99,))


def predicted(*candidates: tuple[int, float], answer: str | None = None) -> SpanPrediction:
    """Candidates of a length and a probability."""
    found = tuple(Candidate("x" * length, 0, length, 0, 0.0, share) for length, share in candidates)
    return SpanPrediction("q", found[0].text if answer is None else answer, found)


def chosen(prediction: SpanPrediction, **settings: float) -> int:
    return len(LengthPrior(LengthPriorSettings(**settings))(prediction, EXAMPLE).final)


def test_a_likely_length_wins_where_the_model_is_nearly_undecided() -> None:
    prediction = predicted((40, 0.5), (5, 0.4))
    assert chosen(prediction, median=5) == 5
    assert chosen(prediction, median=40) == 40
    assert chosen(predicted((40, 0.9), (5, 0.0001)), median=5, weight=0.5, spread=1) == 40


def test_it_is_the_best_of_probability_and_prior() -> None:
    weight, median, spread = 0.8, 6.0, 0.5
    options = [(3, 0.3), (6, 0.15), (12, 0.35), (24, 0.2)]

    def score(option: tuple[int, float]) -> float:
        return math.log(option[1]) - weight * (math.log(option[0] / median) / spread) ** 2 / 2

    assert chosen(predicted(*options), weight=weight, median=median, spread=spread) == max(options, key=score)[0]


def test_no_answer_and_cleaned_answers_stay() -> None:
    rule = LengthPrior(LengthPriorSettings(median=5))
    refused = predicted((40, 0.5), (5, 0.4), answer="")
    assert rule(refused, EXAMPLE) is refused
    cleaned = predicted((5, 0.5), (40, 0.4), answer="xxxx")  # of the best candidate, which stays the best
    assert rule(cleaned, EXAMPLE) is cleaned


def test_gold_answers_teach_median_and_spread() -> None:
    examples = [Example("q", "?", ("x" * 99,), (Answer("x" * length, 0),)) for length in (2, 4, 8)]
    learnt = LengthPrior(LengthPriorSettings()).learn([*examples, Example("n", "?", ("x",), ())])
    assert learnt == {"median": 4.0, "spread": pytest.approx(math.log(2) * math.sqrt(2 / 3), abs=1e-3)}
    assert LengthPrior(LengthPriorSettings()).learn([]) == {}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0.01, 5))
def test_the_answer_is_a_candidates_and_twice_changes_nothing(options: list[tuple[int, float]], weight: float) -> None:
    rule = LengthPrior(LengthPriorSettings(weight=weight))
    once = rule(predicted(*options), EXAMPLE)
    assert once.final in {"x" * length for length, _ in options}
    assert rule(once, EXAMPLE).final == once.final
