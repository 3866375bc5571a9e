"""Postprocessors: a prediction in, a prediction out."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from qakit.values import Example, Prediction


@runtime_checkable
class Postprocessor(Protocol):
    """One prediction in, one prediction out."""

    def __call__(self, prediction: Prediction, example: Example) -> Prediction: ...
