"""The contract of postprocessors."""

from __future__ import annotations

from typing import Any

from qakit.components import Component, Settings
from qakit.protocols import LearnsSettings, NoRuntime
from qakit.returned import named
from qakit.testing.answers import made_up_answers, made_up_questions
from qakit.testing.components import build_checked, running
from qakit.values import ContextPrediction, Example, LabelPrediction, Prediction, SpanPrediction, Targets

OTHERS: tuple[tuple[Prediction, Example], ...] = (
    (LabelPrediction("class", "the A,B", (0.25, 0.75)), Example("class", "a text", label="the A,B")),
    (LabelPrediction("number", 1.5), Example("number", "a text", ("another",), label=2.0)),
    (
        LabelPrediction("numbers", Targets((0.5, 1.0), ("one", "other"))),
        Example("numbers", "a text", label=Targets((0.25, 1.0), ("one", "other"))),
    ),
    (ContextPrediction("context", 1, (0.25, 0.75)), Example("context", "who?", ("one", "two"), relevant=1)),
)
"""Predictions of classes, numbers and contexts."""


def check_postprocessor(component: Component[Any, Any, Any], settings: Settings) -> None:
    """One prediction gives one of the same question, the same each time; the candidates stay as decoded.

    One that changes answers leaves classes, numbers and contexts as they are. Settings that it learns are settings of
    its component, and the same each time.

    Raises:
        AssertionError: with the reason.
    """
    postprocess = build_checked("postprocessors", component, settings, NoRuntime())
    changes = False
    for prediction, example in zip(made_up_answers(), made_up_questions(), strict=True):
        result = _called(postprocess, prediction, example)
        assert isinstance(result, SpanPrediction), f"a SpanPrediction became {named(result)}"
        kept = (result.candidates, result.null) == (prediction.candidates, prediction.null)
        assert kept, "candidates must stay as decoded; change the answer only"
        changes |= result.answer != prediction.answer
    for other, example in OTHERS:
        kind = type(other).__name__
        found = _called(postprocess, other, example)
        assert isinstance(found, type(other)), f"a {kind} became {named(found)}"
        assert found == other or not changes, (
            f"a {kind} must pass through as it is where a postprocessor is for answers"
        )
    if isinstance(postprocess, LearnsSettings):
        _check_learning(postprocess, component)


def _called(postprocess: Any, prediction: Prediction, example: Example) -> Any:
    with running(f"calling the postprocessor with a {type(prediction).__name__}"):
        result = postprocess(prediction, example)
        again = postprocess(prediction, example)
    assert again == result, "the same prediction gives another result"
    return result


def _check_learning(postprocess: LearnsSettings, component: Component[Any, Any, Any]) -> None:
    for examples in (made_up_questions(), []):
        with running("learn"):
            found, again = postprocess.learn(examples), postprocess.learn(examples)
        with running("learn, or taking what it learnt as settings"):
            component.settings.model_validate(dict(found))
        assert dict(again) == dict(found), f"learn gives other settings for the same examples: {found}, then {again}"
