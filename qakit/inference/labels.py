"""From class logits of windows to one class, or one number, per example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.data.batch import Batch
from qakit.data.windows import Windows
from qakit.errors import ModelError, PluginError
from qakit.inference.spans import BROKEN_SCORES
from qakit.protocols import LabelScores
from qakit.values import Example, LabelPrediction

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelRows:
    """Some rows of a :class:`LabelTable`, for another process: ``window`` (R,) and ``scores`` (R, C)."""

    window: Int64
    scores: Float32


class LabelTable:
    """The logits of W windows for C classes (one number for regression), filled batch by batch in any order.

    Attributes:
        classes: the names, C of them; empty for regression.
        scores: (W, C) float32; NaN until the window is added.
    """

    def __init__(self, windows: int, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.scores: Float32 = np.full((windows, max(1, len(self.classes))), np.nan, np.float32)

    def add(self, batch: Batch, decoded: LabelScores) -> None:
        """Take over a batch's logits.

        Raises:
            PluginError: the head decoded another shape than (B, C).
            ModelError: a logit is NaN or infinite.
        """
        wanted = (len(batch), self.scores.shape[1])
        if tuple(decoded.scores.shape) != wanted:
            raise PluginError(f"the head's decode returned scores {tuple(decoded.scores.shape)}; they must be {wanted}")
        values = decoded.scores.float().cpu().numpy()
        if not np.isfinite(values).all():
            raise ModelError(BROKEN_SCORES)
        self.scores[batch.window] = values

    def rows(self) -> LabelRows:
        """The windows that have been added here, to send to another process."""
        window = np.flatnonzero(~np.isnan(self.scores[:, 0]))
        return LabelRows(window, self.scores[window])

    def merge(self, rows: LabelRows) -> None:
        """Take over what another process added to its table of the same windows."""
        self.scores[rows.window] = rows.scores


def label_predictions(table: LabelTable, windows: Windows, examples: Sequence[Example]) -> list[LabelPrediction]:
    """One class or number per example: the mean logits of its windows, in the examples' order.

    Raises:
        ModelError: an example has no window.
    """
    count = np.bincount(windows.example, minlength=len(examples))
    if (count == 0).any():
        raise ModelError(
            f"the example {examples[int(np.argmin(count))].id!r} has no window: the preprocessor gave none"
        )
    sums = np.zeros((len(examples), table.scores.shape[1]), np.float64)
    np.add.at(sums, windows.example, table.scores)
    logits = sums / count[:, None]
    if not table.classes:
        return [LabelPrediction(each.id, value) for each, value in zip(examples, logits[:, 0].tolist(), strict=True)]
    probabilities = softmax(logits)
    best = logits.argmax(1).tolist()
    return [
        LabelPrediction(example.id, table.classes[place], tuple(shares))
        for example, place, shares in zip(examples, best, probabilities.tolist(), strict=True)
    ]


def softmax(logits: Float64) -> Float64:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    shares: Float64 = powers / powers.sum(-1, keepdims=True)
    return shares
