"""Metrics: figures for predictions against gold examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from qakit.values import Example, Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class Metric(Protocol):
    """Figures for predictions against gold examples."""

    primary: str
    """The key that model selection uses; larger is better."""

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Figures by the official script's keys. ``examples`` are labelled; ids without a prediction are the
        metric's to judge as the official script does."""
        ...


@runtime_checkable
class PerExampleMetric(Protocol):
    """Optional for metrics: each example's own figures, for bootstrap tests and threshold tuning."""

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """Figures of ``answers[i]`` to ``examples[i]``, in percent: their mean is ``compute``'s figure of that key
        (``primary`` is among the keys)."""
        ...


@runtime_checkable
class DrawnMetric(Protocol):
    """Optional for metrics whose figures are no means over examples (a correlation, the F1 of a class), for bootstrap
    tests."""

    def of_draws(
        self, examples: Sequence[Example], answers: Sequence[str], counts: NDArray[np.float64]
    ) -> Mapping[str, NDArray[np.float64]]:
        """The figures of many draws from the examples at once, (R,) each, by ``compute``'s keys.

        Args:
            examples: N of them.
            answers: what was predicted for each, as text.
            counts: (R, N) how often each example is in each draw; a row of ones gives ``compute``'s figures.
        """
        ...


@runtime_checkable
class OfficialFormat(Protocol):
    """Optional for metrics: figures as the official script prints them, where that is not plain numbers."""

    def official_format(self, figures: Mapping[str, float]) -> dict[str, int | str]: ...
