"""Postprocessors: a prediction in, a prediction out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from qakit.values import Example, Prediction


@runtime_checkable
class Postprocessor(Protocol):
    """One prediction in, one prediction out."""

    def __call__(self, prediction: Prediction, example: Example) -> Prediction: ...


@runtime_checkable
class LearnsSettings(Protocol):
    """Optional for postprocessors: settings taken from labelled examples, for ``qakit tune-postprocess``."""

    def learn(self, examples: Sequence[Example]) -> Mapping[str, Any]:
        """Settings that suit the gold answers, by name, the same each time; empty where these teach nothing.

        Those that one of the component's ``tries`` sets are not overruled by them.
        """
        ...
