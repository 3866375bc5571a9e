"""Sets of answers from what single windows give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from span_layouts import Layout, Span, batch_of, candidates_of, characters, encoded_of, windows_of

from qakit.inference.nbest import set_predictions
from qakit.inference.table import SpanTable
from qakit.values import Example, SetPrediction

TEXT = "ab cd ef"


def sets(layout: Layout, spans: list[list[Span]]) -> SetPrediction:
    examples = [Example("a", "?", (TEXT, TEXT))]
    encoded = encoded_of(examples, characters)
    windows = windows_of(encoded, layout)
    table, batch = SpanTable(len(layout), 9, encoded), batch_of(encoded, windows, range(len(layout)))
    table.add(batch, candidates_of(encoded, windows, batch, spans, [0.0] * len(layout)))
    (found,) = set_predictions(table, windows, encoded, examples)
    return found


def test_answers_of_all_windows_in_the_order_of_their_places() -> None:
    found = sets([(0, [0]), (0, [1])], [[(0, 6, 7, 1.0), (0, 0, 1, 0.0)], [(0, 2, 5, 3.0)]])
    assert found.answers == ("ab", "ef", "cd")
    assert [(each.context, each.start, each.end) for each in found.candidates] == [(0, 0, 2), (0, 6, 8), (1, 3, 5)]
    assert [each.probability for each in found.candidates] == pytest.approx([0.5, 0.7310586, 0.9525741])


def test_of_answers_that_share_a_character_the_better_one_stays() -> None:
    found = sets([(0, [0]), (0, [0])], [[(0, 0, 4, 1.0)], [(0, 3, 7, 2.0), (0, 2, 2, 5.0)]])
    assert found.answers == ("cd ef",)


def test_answers_that_touch_share_nothing() -> None:
    assert sets([(0, [0])], [[(0, 3, 3, 2.0), (0, 4, 4, 1.0)]]).answers == ("c", "d")
    assert sets([(0, [0])], [[(0, 4, 4, 2.0), (0, 3, 3, 1.0)]]).answers == ("c", "d")


def test_nothing_is_an_empty_set() -> None:
    assert sets([(0, [0])], [[]]) == SetPrediction("a", ())


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.floats(-50, 50, width=32)), max_size=9))
def test_answers_are_slices_and_share_nothing(spans: list[tuple[int, int, float]]) -> None:
    found = sets([(0, [0])], [[(0, min(one, other), max(one, other), score) for one, other, score in spans]])
    covered = np.zeros(len(TEXT), int)
    for text, each in zip(found.answers, found.candidates, strict=True):
        assert TEXT[each.start : each.end] == text == text.strip() != ""
        covered[each.start : each.end] += 1
    assert covered.max(initial=0) <= 1
    assert bool(found.answers) == any(TEXT[min(a, b) : max(a, b) + 1].strip() for a, b, _ in spans)
