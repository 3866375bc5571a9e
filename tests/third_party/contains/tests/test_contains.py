"""The metric keeps qakit's contract."""

from __future__ import annotations

from qakit_contains import CONTAINS, ContainsSettings
from qakit_contains.metric import Contains

from qakit.api import Answer, Example, SpanPrediction
from qakit.testing import check_component, check_metric


def test_the_component_is_declared_well() -> None:
    check_component("metrics", CONTAINS)


def test_the_metric() -> None:
    check_metric(CONTAINS, ContainsSettings())
    examples = [Example(name, "?", ("a b",), (Answer("a", 0),)) for name in "xyz"]
    examples.append(Example("w", "?", ("a b",), ()))
    found = [SpanPrediction("x", "A b"), SpanPrediction("y", "b"), SpanPrediction("w", "")]
    assert Contains(ContainsSettings()).compute(examples, found) == {"contains": 50.0}
    assert Contains(ContainsSettings(ignore_case=False)).compute(examples, found) == {"contains": 25.0}
