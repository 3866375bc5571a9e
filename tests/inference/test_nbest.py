"""From the candidates of windows to predictions."""

from __future__ import annotations

import gc
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from span_layouts import ONE, Layout, Span, Tokens, batch_of, candidates_of, characters, encoded_of, predict, windows_of

from qakit.inference.nbest import UNSUPPORTED, SpanTable, nearest_visible, score_order, span_predictions
from qakit.protocols import SpanCandidates
from qakit.values import Example, SpanPrediction


def short(prediction: SpanPrediction) -> list[tuple[str, int | None, int, float]]:
    return [(each.text, each.start, each.context, each.score) for each in prediction.candidates]


# -------------------------------------------------------------------------------------------------------------- rules
def test_best_first_over_all_windows_cut_from_the_text() -> None:
    examples = [Example("a", "?", ("abcdef",)), Example("b", "?", ("uvwxyz",))]
    layout = [(0, [0]), (0, [0]), (1, [0])]
    spans = [[(0, 0, 1, 1.0), (0, 2, 2, 4.0)], [(0, 3, 5, 3.0)], [(0, 5, 5, -2.0)]]
    first, second = predict(examples, layout, spans)
    assert (first.id, first.answer, first.null) == ("a", "c", None)
    assert short(first) == [("c", 2, 0, 4.0), ("def", 3, 0, 3.0), ("ab", 0, 0, 1.0)]
    assert [each.end for each in first.candidates] == [3, 6, 2]
    assert (second.id, short(second)) == ("b", [("z", 5, 0, -2.0)])


def test_the_order_of_the_batches_does_not_matter() -> None:
    examples = [Example(name, "?", ("abcdef",)) for name in "xyz"]
    layout = [(example, [0]) for example in (0, 0, 1, 2, 2)]
    spans = [[(0, place, place, 1.0), (0, place, place + 1, 1.0)] for place in range(5)]
    expected = predict(examples, layout, spans, null=[0.0] * 5)
    assert predict(examples, layout, spans, null=[0.0] * 5, order=[[4, 1], [0], [3, 2]]) == expected


def test_a_text_in_several_places_keeps_the_best_scored_one() -> None:
    spans = [[(0, 2, 3, 1.0), (0, 5, 6, 2.0), (0, 0, 0, 0.0)], [(0, 5, 6, 2.0)]]
    (prediction,) = predict(ONE, [(0, [0]), (0, [0])], spans)
    assert short(prediction) == [("bc", 5, 0, 2.0), ("a", 0, 0, 0.0)]


def test_whitespace_is_trimmed_by_moving_the_offsets() -> None:
    examples = [Example("a", "?", ("x \u3000 y z\t\n",))]
    (prediction,) = predict(examples, [(0, [0])], [[(0, 1, 8, 2.0), (0, 1, 3, 1.0), (0, 0, 0, 0.0)]])
    assert short(prediction) == [("y z", 4, 0, 2.0), ("x", 0, 0, 0.0)]  # the blank one is gone
    assert prediction.candidates[0].end == 7


def test_contexts_are_counted_within_the_example() -> None:
    examples = [Example("a", "?", ("p", "q")), Example("b", "?", ("rr", "ss", "tt"))]
    layout = [(0, [0]), (0, [1]), (1, [0, 1, 2])]
    spans = [[(0, 0, 0, 1.0)], [(0, 0, 0, 2.0)], [(1, 0, 1, 3.0), (2, 1, 1, 5.0)]]
    first, second = predict(examples, layout, spans)
    assert short(first) == [("q", 0, 1, 2.0), ("p", 0, 0, 1.0)]
    assert short(second) == [("t", 1, 2, 5.0), ("ss", 0, 1, 3.0)]


def test_yes_and_no_stand_among_the_spans_without_a_place() -> None:
    examples = [Example("a", "?", ("say no", "or"))]
    encoded = replace(encoded_of(examples, characters), yes_no=np.zeros(2, np.int8))
    windows = windows_of(encoded, [(0, [0]), (0, [1])])
    table, batch = SpanTable(2, 2, encoded), batch_of(encoded, windows, [0, 1])
    spans = candidates_of(encoded, windows, batch, [[(0, 0, 2, 2.0), (0, 4, 5, 0.0)], [(0, 0, 1, 1.0)]], [0.0, 0.0])
    table.add(batch, replace(spans, yes_no=torch.tensor([[0.5, -1.0], [4.0, -2.0]])))
    (prediction,) = span_predictions(table, windows, encoded, examples, n_best=9, no_answer=True)
    assert prediction.answer == "yes"
    assert short(prediction) == [("yes", None, 1, 4.0), ("say", 0, 0, 2.0), ("or", 0, 1, 1.0), ("no", 4, 0, 0.0)]
    assert math.fsum([each.probability for each in prediction.candidates]) < 1.0
    assert all((each.end is None) == (each.start is None) for each in prediction.candidates)


def test_a_span_over_two_contexts_is_left_out() -> None:
    encoded = encoded_of([Example("a", "?", ("pp", "qq"))], characters)
    windows = windows_of(encoded, [(0, [0, 1])])
    table = SpanTable(1, 2, encoded)
    positions = torch.tensor([[2, 1]]), torch.tensor([[3, 1]])
    table.add(batch_of(encoded, windows, [0]), SpanCandidates(*positions, torch.tensor([[9.0, 1.0]]), torch.zeros(1)))
    (prediction,) = span_predictions(
        table, windows, encoded, [Example("a", "?", ("pp", "qq"))], n_best=5, no_answer=False
    )
    assert short(prediction) == [("p", 0, 0, 1.0)]


def test_tokens_without_characters_make_no_candidates() -> None:
    def empty(text: str) -> Tokens:
        return [(1, 1) for _ in text]

    (prediction,) = predict(ONE, [(0, [0])], [[(0, 0, 3, 1.0)]], tokens=empty)
    assert (prediction.answer, prediction.candidates) == ("", ())


def test_n_best_counts_distinct_texts() -> None:
    spans = [[(0, 2, 3, 5.0), (0, 5, 6, 4.0), (0, 0, 0, 3.0), (0, 2, 2, 2.0), (0, 3, 3, 1.0)]]
    (prediction,) = predict(ONE, [(0, [0])], spans, n_best=3)
    assert [each.text for each in prediction.candidates] == ["bc", "a", "b"]


def test_equal_scores_stay_in_the_order_of_the_windows() -> None:
    spans = [[(0, 2, 2, 0.0)], [(0, 0, 0, -0.0)], [(0, 3, 3, 0.0)]]
    (prediction,) = predict(ONE, [(0, [0])] * 3, spans)
    assert [each.text for each in prediction.candidates] == ["b", "a", "c"]


# ------------------------------------------------------------------------------------------ always something to answer
def test_blank_spans_alone_leave_the_visible_token_next_to_the_best_of_them() -> None:
    examples = [Example("a", "?", (" \u3000", "ab  cd"))]
    spans = [[(0, 0, 1, 9.0)], [(0, 2, 2, 1.0), (0, 3, 3, 5.0)]]
    (prediction,) = predict(examples, [(0, [0]), (0, [1])], spans, n_best=1)
    assert short(prediction) == [("c", 4, 1, 9.0)]
    assert prediction.answer == "c"


def test_a_head_that_decodes_nothing_leaves_the_first_visible_token_far_below_null() -> None:
    examples = [Example("a", "?", (" \t", " xy")), Example("b", "?", ("z",))]
    layout = [(0, [0]), (0, [1]), (1, [0])]
    first, second = predict(examples, layout, [[], [], []], null=[3.0, 2.0, -1.0])
    assert short(first) == [("x", 1, 1, 2.0 - UNSUPPORTED)]
    assert short(second) == [("z", 0, 0, -1.0 - UNSUPPORTED)]
    assert (first.answer, second.answer) == ("", "")
    assert [each.answer for each in predict(examples, layout, [[], [], []])] == ["x", "z"]


def test_tokens_without_characters_are_passed_over() -> None:
    def tokens(text: str) -> Tokens:
        return [(place, place + (text[place] != "▁")) for place in range(len(text))]

    (prediction,) = predict([Example("a", "?", ("▁a▁b",))], [(0, [0])], [[(0, 2, 2, 4.0)]], tokens=tokens)
    assert short(prediction) == [("b", 3, 0, 4.0)]


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("ab cd", 0, (0, 1)),
        ("a   b", 3, (4, 5)),
        ("a   b", 1, (0, 1)),
        ("a b", 1, (2, 3)),
        (" \n", 0, None),
        ("", 0, None),
    ],
)
def test_the_nearest_visible_token(text: str, at: int, expected: tuple[int, int] | None) -> None:
    assert nearest_visible(text, np.array(characters(text), np.int32).reshape(-1, 2), at) == expected


# ---------------------------------------------------------------------------------------------------------- no answer
def test_the_null_score_is_the_smallest_of_the_windows() -> None:
    (prediction,) = predict(ONE, [(0, [0])] * 3, [[(0, 0, 0, 2.0)], [], []], null=[1.5, 9.0, 8.0])
    assert prediction.null is not None
    assert prediction.null.score == 1.5
    assert prediction.answer == "a"


@pytest.mark.parametrize(("threshold", "answer"), [(0.9, ""), (1.0, "a"), (1.1, "a"), (-5.0, "")])
def test_null_must_win_by_more_than_the_threshold(threshold: float, answer: str) -> None:
    (prediction,) = predict(ONE, [(0, [0])], [[(0, 0, 0, 2.0)]], null=[3.0], threshold=threshold)
    assert prediction.answer == answer
    assert prediction.best is not None
    assert prediction.best.text == "a"


def test_probabilities_are_a_softmax_with_null() -> None:
    (prediction,) = predict(ONE, [(0, [0])], [[(0, 0, 0, 2.0), (0, 2, 2, 1.0)]], null=[0.5])
    total = math.exp(2.0) + math.exp(1.0) + math.exp(0.5)
    assert [each.probability for each in prediction.candidates] == pytest.approx(
        [math.exp(2) / total, math.exp(1) / total]
    )
    assert prediction.null is not None
    assert prediction.null.probability == pytest.approx(math.exp(0.5) / total)


def test_a_temperature_divides_the_scores_of_the_softmax_and_nothing_else() -> None:
    spans = [[(0, 0, 0, 2.0), (0, 2, 2, 1.0)]]
    (cold,) = predict(ONE, [(0, [0])], spans, null=[3.0], threshold=2.0)
    (warm,) = predict(ONE, [(0, [0])], spans, null=[3.0], threshold=2.0, temperature=4.0)
    total = math.exp(0.5) + math.exp(0.25) + math.exp(0.75)
    assert [each.probability for each in warm.candidates] == pytest.approx(
        [math.exp(0.5) / total, math.exp(0.25) / total]
    )
    assert warm.null is not None
    assert warm.null.probability == pytest.approx(math.exp(0.75) / total)
    assert (warm.answer, short(warm), warm.null.score) == (cold.answer, short(cold), 3.0)


def test_probabilities_of_far_apart_scores() -> None:
    (prediction,) = predict(ONE, [(0, [0])], [[(0, 0, 0, 3e4), (0, 2, 2, -3e4)]], null=[-2e4])
    assert [each.probability for each in prediction.candidates] == [1.0, 0.0]


@pytest.mark.parametrize("null", [None, [0.25, -7.0]])
def test_no_candidate_at_all_is_no_answer(null: list[float] | None) -> None:
    examples = [Example("a", "?", ("",)), Example("b", "?", ("xy",))]
    empty, other = predict(examples, [(0, [0]), (1, [0])], [[], [(0, 0, 1, 1.0)]], null=null, threshold=100.0)
    assert (empty.answer, empty.candidates) == ("", ())
    assert other.answer == "xy"
    if null is not None:
        assert empty.null is not None
        assert (empty.null.score, empty.null.probability) == (0.25, 1.0)


def test_nothing_has_any_token() -> None:
    (prediction,) = predict([Example("a", "", ("",))], [(0, [0])], [[]])
    assert prediction == SpanPrediction("a", "")


def test_no_examples() -> None:
    assert predict([], [], []) == []


def test_an_example_without_windows() -> None:
    first, second = predict(
        [Example("a", "?", ("x",)), Example("b", "?", ("y",))], [(1, [0])], [[(0, 0, 0, 1.0)]], null=[0.0]
    )
    assert (first.answer, first.candidates, first.null and first.null.probability) == ("", (), 1.0)
    assert second.answer == "y"


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        predict(ONE, [(0, [0])], [[(0, 0, 0, 1.0)]])
        assert gc.isenabled() is enabled
    finally:
        gc.enable() if before else gc.disable()


# ---------------------------------------------------------------------------------------------------------- properties
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(width=32, allow_nan=False, allow_infinity=False)),
        min_size=1,
        max_size=40,
    )
)
def test_one_sort_orders_as_two(places: list[tuple[int, float]]) -> None:
    example = np.array([place[0] for place in places], np.int32)
    score = np.array([place[1] for place in places], np.float32)
    assert np.array_equal(score_order(example, score), np.lexsort((-score, example)))


HOSTILE = st.text(
    st.sampled_from("ab 中\u3000\xa0\t\n\r\x1c\u200b\u0301\ufeff\U0001f600\ud800") | st.characters(), max_size=12
)


@st.composite
def scored_examples(draw: st.DrawFn) -> tuple[list[Example], Layout, list[list[Span]], list[float]]:
    contexts = st.lists(HOSTILE, min_size=1, max_size=3).map(tuple)
    examples = [
        Example(str(row), "?", texts) for row, texts in enumerate(draw(st.lists(contexts, min_size=1, max_size=4)))
    ]
    layout: list[tuple[int, list[int]]] = []
    spans: list[list[Span]] = []
    for row, example in enumerate(examples):
        for _ in range(draw(st.integers(1, 3))):
            chosen = draw(st.lists(st.integers(0, len(example.contexts) - 1), min_size=1, max_size=2, unique=True))
            layout.append((row, chosen))
            own: list[Span] = []
            for segment, context in enumerate(chosen):
                length = len(example.contexts[context])
                for _ in range(draw(st.integers(0, 4)) if length else 0):
                    first = draw(st.integers(0, length - 1))
                    own.append((segment, first, draw(st.integers(first, length - 1)), float(draw(st.integers(-5, 5)))))
            spans.append(own)
    null = draw(st.lists(st.integers(-5, 5).map(float), min_size=len(layout), max_size=len(layout)))
    return examples, layout, spans, null


@given(scored_examples(), st.sampled_from([0.05, 0.5, 3.0, 20.0]))
@settings(deadline=None)
def test_no_answer_depends_on_the_temperature(
    made_up: tuple[list[Example], Layout, list[list[Span]], list[float]], temperature: float
) -> None:
    examples, layout, spans, null = made_up
    cold = predict(examples, layout, spans, null=null)
    warm = predict(examples, layout, spans, null=null, temperature=temperature)
    for one, other in zip(cold, warm, strict=True):
        assert one.answer == other.answer
        assert short(one) == short(other)
        assert other.null is not None
        shares = [each.probability for each in other.candidates]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) + other.null.probability <= 1 + 1e-9


@given(scored_examples(), st.integers(1, 6), st.booleans(), st.integers(-3, 3))
@settings(max_examples=200, deadline=None)
def test_invariants_on_hostile_texts(
    made_up: tuple[list[Example], Layout, list[list[Span]], list[float]], n_best: int, no_answer: bool, threshold: int
) -> None:
    examples, layout, spans, null = made_up
    predictions = predict(examples, layout, spans, null=null if no_answer else None, n_best=n_best, threshold=threshold)
    assert [each.id for each in predictions] == [each.id for each in examples]
    for row, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
        candidates = prediction.candidates
        for each in candidates:
            assert example.contexts[each.context][each.start : each.end] == each.text
            assert each.text == each.text.strip() != ""
        best_of: dict[str, float] = {}
        for (owner, contexts), own in zip(layout, spans, strict=True):
            for segment, first, last, score in own if owner == row else []:
                text = example.contexts[contexts[segment]][first : last + 1].strip()
                best_of[text] = max(score, best_of.get(text, -math.inf))
        blank = best_of.pop("", None)
        if not best_of and not "".join(example.contexts).isspace() and any(example.contexts):
            lowest = min(
                value if no_answer else 0.0 for (owner, _), value in zip(layout, null, strict=True) if owner == row
            )
            best_of = {candidates[0].text: lowest - UNSUPPORTED if blank is None else blank}
        assert [each.score for each in candidates] == sorted(best_of.values(), reverse=True)[:n_best]
        assert all(best_of[each.text] == each.score for each in candidates)
        assert len({each.text for each in candidates}) == len(candidates)

        shares = [each.probability for each in candidates]
        if no_answer:
            assert prediction.null is not None
            assert prediction.null.score == min(
                value for (owner, _), value in zip(layout, null, strict=True) if owner == row
            )
            shares.append(prediction.null.probability)
            null_wins = not candidates or prediction.null.score - candidates[0].score > threshold
        else:
            assert prediction.null is None
            null_wins = not candidates
        assert prediction.answer == ("" if null_wins else candidates[0].text)
        assert sum(shares) == pytest.approx(1.0 if shares else 0.0)
