"""Figures of choosing a context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import Answer, ContextPrediction, Example, NoRuntime, SpanPrediction, UsageError
from qakit_metrics import SELECTION

NAMED = Example("a", "?", ("p", "q", "r"), relevant=2)
PLACED = Example("b", "?", ("p", "q"), answers=(Answer("q", None), Answer("q", 0, context=1)))
UNKNOWN = Example("c", "?", ("p", "q"), answers=())
METRIC = SELECTION.build(SELECTION.settings(), NoRuntime())


def test_ranks() -> None:
    predictions = [ContextPrediction("b", 1, (0.4, 0.6)), ContextPrediction("a", 0, (0.5, 0.2, 0.3))]
    figures = METRIC.compute([NAMED, PLACED, UNKNOWN], predictions)
    assert figures == {"accuracy": 50.0, "mrr": 75.0, "recall_at_2": 100.0, "recall_at_3": 100.0}


def test_ties_and_missing_predictions_are_no_gain() -> None:
    tied = [ContextPrediction("a", 2, (0.4, 0.2, 0.4))]
    assert METRIC.compute([NAMED, PLACED], tied)["mrr"] == 25.0
    bare = [ContextPrediction("a", 2)]
    assert METRIC.compute([NAMED], bare)["accuracy"] == 100.0


def test_what_it_cannot_judge() -> None:
    with pytest.raises(UsageError, match="cannot be measured"):
        METRIC.compute([UNKNOWN], [])
    with pytest.raises(UsageError, match="scores chosen contexts"):
        METRIC.compute([NAMED], [SpanPrediction("a", "p")])


@given(st.lists(st.tuples(st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True), st.data()), max_size=6))
def test_each_examples_accuracy_adds_up(cases: list[tuple[list[int], st.DataObject]]) -> None:
    examples, predictions = [NAMED], [ContextPrediction("a", 2, (0.0, 0.1, 0.9))]
    for number, (scores, data) in enumerate(cases):
        relevant = data.draw(st.integers(0, len(scores) - 1))
        examples.append(Example(f"x{number}", "?", ("t",) * len(scores), relevant=relevant))
        predictions.append(ContextPrediction(f"x{number}", scores.index(max(scores)), tuple(map(float, scores))))
    figures = METRIC.compute(examples, predictions)
    single = METRIC.per_example(examples, [each.final for each in predictions])["accuracy"]
    assert figures["accuracy"] == pytest.approx(sum(single) / len(single))
    assert figures["accuracy"] <= figures["recall_at_2"] <= figures["recall_at_3"] <= 100
    assert figures["accuracy"] <= figures["mrr"] <= 100
