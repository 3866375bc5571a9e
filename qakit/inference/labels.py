"""From class logits of windows to one class, or one number, per example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from qakit.data.batch import Batch
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.inference.classification import LogitTable
from qakit.protocols import LabelScores
from qakit.values import Example, LabelPrediction


class LabelTable(LogitTable):
    """The logits of W windows for C classes (C = 1 for regression: the number).

    Attributes:
        classes: the names, C of them; empty for regression.
    """

    def __init__(self, windows: int, classes: Sequence[str]) -> None:
        super().__init__(windows, max(1, len(classes)))
        self.classes = tuple(classes)

    def add(self, batch: Batch, decoded: LabelScores) -> None:
        """Take over a batch's logits, (B, C); see :meth:`LogitTable.add_logits`."""
        self.add_logits(batch, decoded.scores, wanted=(len(batch), self.scores.shape[1]))


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
    probabilities = softmax(logits, axis=1)
    best = logits.argmax(1).tolist()
    return [
        LabelPrediction(example.id, table.classes[place], tuple(shares))
        for example, place, shares in zip(examples, best, probabilities.tolist(), strict=True)
    ]
