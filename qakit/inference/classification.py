"""From logits of windows to one class, one number, or the context that holds the answer, per example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import softmax

from qakit.data.arrays import Float32
from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import ModelError, PluginError
from qakit.inference.spans import BROKEN_SCORES
from qakit.inference.table import Rows
from qakit.protocols import ContextScores, LabelScores
from qakit.values import ContextPrediction, Example, LabelPrediction, TargetNames, Targets


class LogitTable:
    """The logits of W windows, filled batch by batch in any order: C classes, or numbers (1 where they have no names).

    Attributes:
        scores: (W, C) float32; NaN until the window is added.
        classes: the names, C of them; empty for a single number, and for contexts.
        gives: what they are of.
    """

    def __init__(
        self, windows: int, *, classes: Sequence[str] = (), gives: Literal["labels", "contexts"] = "labels"
    ) -> None:
        self.scores: Float32 = np.full((windows, max(1, len(classes))), np.nan, np.float32)
        self.classes, self.gives = classes, gives

    def add(self, batch: Batch, decoded: LabelScores | ContextScores) -> None:
        """Take over a batch's logits, (B, C) of classes, (B,) of contexts.

        Raises:
            PluginError: the head decoded another shape.
            ModelError: a logit is NaN or infinite.
        """
        logits = decoded.scores
        wanted = (len(batch), self.scores.shape[1]) if self.gives == "labels" else (len(batch),)
        if tuple(logits.shape) != wanted:
            raise PluginError(f"returned scores {tuple(logits.shape)}; they must be {wanted}")
        values = logits.float().cpu().numpy().reshape(len(batch), -1)
        if not np.isfinite(values).all():
            raise ModelError(BROKEN_SCORES)
        self.scores[batch.window] = values

    def rows(self) -> Rows:
        """The windows that have been added here, to send to another process."""
        window = np.flatnonzero(~np.isnan(self.scores[:, 0]))
        return window, self.scores[window]

    def merge(self, rows: Rows) -> None:
        """Take over what another process added to its table of the same windows."""
        self.scores[rows[0]] = rows[1]


def label_predictions(table: LogitTable, windows: Windows, examples: Sequence[Example]) -> list[LabelPrediction]:
    """One class or number (or several) per example: the mean logits of its windows, in the examples' order.

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
    if isinstance(table.classes, TargetNames):
        names = table.classes
        return [
            LabelPrediction(each.id, Targets(values, names))
            for each, values in zip(examples, logits.tolist(), strict=True)
        ]
    probabilities = softmax(logits, axis=1)
    best = logits.argmax(1).tolist()
    return [
        LabelPrediction(example.id, table.classes[place], tuple(shares))
        for example, place, shares in zip(examples, best, probabilities.tolist(), strict=True)
    ]


def check_windows(windows: Windows, encoded: EncodedExamples, examples: Sequence[Example]) -> None:
    """Make sure, before anything is scored, that each context gets scores of its own.

    Raises:
        ModelError: an example has no context, a window holds several of them (or none), or a context is in no window.
    """
    counts = np.diff(encoded.pointers)
    if len(counts) and counts.min() == 0:
        raise ModelError(f"the example {examples[int(counts.argmin())].id!r} has no context to choose")
    if (np.diff(windows.pointers) != 1).any():
        raise ModelError(
            "contexts are scored one by one: use a preprocessor in preprocess.predict that puts one into each window"
        )
    seen = np.zeros(len(encoded.context), bool)
    seen[windows.pair] = True
    if not seen.all():
        owner = examples[encoded.pair_example[int(np.argmin(seen))]]
        raise ModelError(f"a context of the example {owner.id!r} is in no window")


def context_predictions(
    table: LogitTable, windows: Windows, encoded: EncodedExamples, examples: Sequence[Example]
) -> list[ContextPrediction]:
    """The likeliest context of each example, with every context's probability, in the examples' order.

    A context in several windows counts by the best of them; probabilities are a softmax over an example's contexts.

    Args:
        windows: as :func:`check_windows` wants them.
    """
    logits = np.full(len(encoded.context), -np.inf)
    np.maximum.at(logits, windows.pair, table.scores[:, 0])
    counts = np.diff(encoded.pointers)
    first = encoded.pointers[:-1]
    powers = np.exp(logits - np.repeat(np.maximum.reduceat(logits, first), counts)) if len(counts) else logits
    shares = powers / np.repeat(np.add.reduceat(powers, first), counts) if len(counts) else powers
    predictions = []
    for row, example in enumerate(examples):
        own = slice(int(encoded.pointers[row]), int(encoded.pointers[row + 1]))
        predictions.append(ContextPrediction(example.id, int(logits[own].argmax()), tuple(shares[own].tolist())))
    return predictions
