"""Where an answer lies."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.values import Candidate, Example, SpanPrediction
from qakit_postprocess.place import Place, place_of, source_of


def test_a_candidate_with_the_same_text_knows() -> None:
    candidates = (Candidate("ab", 0, 2, 0, 2.0, 0.6), Candidate("a", 4, 5, 0, 1.0, 0.3))
    prediction = SpanPrediction("q", "a", candidates)
    assert place_of(prediction, Example("q", "?", ("ab, a",))) == Place("ab, a", 4, 5)
    assert source_of(prediction) is candidates[1]


def test_else_the_nearest_place_that_touches_the_best_candidate() -> None:
    context = "a b a b a"
    prediction = SpanPrediction("q", "a", (Candidate("b a", 2, 5, 0, 1.0, 0.9),))
    assert place_of(prediction, Example("q", "?", (context,))) == Place(context, 4, 5)
    longer = SpanPrediction("q", "a b a", (Candidate("b", 6, 7, 0, 1.0, 0.9),))
    assert place_of(longer, Example("q", "?", (context,))) == Place(context, 4, 9)
    assert source_of(longer) is longer.candidates[0]


def test_else_the_first_occurrence_in_any_context() -> None:
    example = Example("q", "?", ("x", "yay"))
    assert place_of(SpanPrediction("q", "a"), example) == Place("yay", 1, 2)
    assert place_of(SpanPrediction("q", "b"), example) is None
    assert place_of(SpanPrediction("q", ""), example) is None


def test_candidates_without_a_place_or_of_another_text_are_passed_over() -> None:
    candidates = (
        Candidate("a", None, None, 0, 1.0, 0.5),
        Candidate("a", 1, 2, 7, 1.0, 0.5),
        Candidate("a", 0, 1, 0, 1.0, 0.5),
    )
    assert place_of(SpanPrediction("q", "a", candidates), Example("q", "?", ("ba",))) == Place("ba", 1, 2)


def test_a_yes_or_no_that_is_said_lies_nowhere() -> None:
    example = Example("q", "?", ("north or no",))
    said = SpanPrediction("q", "no", (Candidate("no", None, None, 0, 1.0, 0.5), Candidate("north", 0, 5, 0, 0.0, 0.2)))
    assert place_of(said, example) is None
    assert place_of(SpanPrediction("q", "no", (Candidate("no", 9, 11, 0, 1.0, 0.5),)), example) == Place(
        "north or no", 9, 11
    )


@settings(deadline=None)
@given(st.text(alphabet="ab", max_size=8), st.text(alphabet="ab", min_size=1, max_size=3), st.data())
def test_what_is_found_is_the_answer(context: str, answer: str, data: st.DataObject) -> None:
    first, last = sorted((data.draw(st.integers(0, len(context))), data.draw(st.integers(0, len(context)))))
    prediction = SpanPrediction("q", answer, (Candidate(context[first:last], first, last, 0, 0.0, 1.0),))
    place = place_of(prediction, Example("q", "?", (context,)))
    assert (place is None) == (answer not in context)
    assert place is None or place.text == answer
