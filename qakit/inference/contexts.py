"""From logits of windows to the context that holds the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import ModelError, PluginError
from qakit.inference.spans import BROKEN_SCORES
from qakit.protocols import ContextScores
from qakit.values import ContextPrediction, Example

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ContextRows:
    """Some rows of a :class:`ContextTable`, for another process: ``window`` and ``scores`` (R,)."""

    window: Int64
    scores: Float32


class ContextTable:
    """One logit for each of W windows, filled batch by batch in any order.

    Attributes:
        scores: (W,) float32; NaN until the window is added.
    """

    def __init__(self, windows: int) -> None:
        self.scores: Float32 = np.full(windows, np.nan, np.float32)

    def add(self, batch: Batch, decoded: ContextScores) -> None:
        """Take over a batch's logits.

        Raises:
            PluginError: the head decoded another shape than (B,).
            ModelError: a logit is NaN or infinite.
        """
        if tuple(decoded.scores.shape) != (len(batch),):
            raise PluginError(
                f"the head's decode returned scores {tuple(decoded.scores.shape)}; they must be ({len(batch)},)"
            )
        values = decoded.scores.float().cpu().numpy()
        if not np.isfinite(values).all():
            raise ModelError(BROKEN_SCORES)
        self.scores[batch.window] = values

    def rows(self) -> ContextRows:
        """The windows that have been added here, to send to another process."""
        window = np.flatnonzero(~np.isnan(self.scores))
        return ContextRows(window, self.scores[window])

    def merge(self, rows: ContextRows) -> None:
        """Take over what another process added to its table of the same windows."""
        self.scores[rows.window] = rows.scores


def context_predictions(
    table: ContextTable, windows: Windows, encoded: EncodedExamples, examples: Sequence[Example]
) -> list[ContextPrediction]:
    """The likeliest context of each example, with every context's probability, in the examples' order.

    A context in several windows counts by the best of them; probabilities are a softmax over an example's contexts.

    Raises:
        ModelError: an example has no context, a window holds several of them, or a context is in no window.
    """
    if len(windows.pair) != len(windows):
        raise ModelError("contexts are scored one by one: use a preprocessor that puts one into each window")
    logits = np.full(len(encoded.context), -np.inf)
    np.maximum.at(logits, windows.pair, table.scores)
    unseen = np.flatnonzero(np.isneginf(logits))
    if len(unseen):
        raise ModelError(f"a context of the example {examples[encoded.pair_example[unseen[0]]].id!r} is in no window")
    counts = np.diff(encoded.pointers)
    if len(counts) and counts.min() == 0:
        raise ModelError(f"the example {examples[int(counts.argmin())].id!r} has no context to choose")
    first = encoded.pointers[:-1]
    powers = np.exp(logits - np.repeat(np.maximum.reduceat(logits, first), counts)) if len(counts) else logits
    shares = powers / np.repeat(np.add.reduceat(powers, first), counts) if len(counts) else powers
    predictions = []
    for row, example in enumerate(examples):
        own = slice(int(encoded.pointers[row]), int(encoded.pointers[row + 1]))
        predictions.append(ContextPrediction(example.id, int(logits[own].argmax()), tuple(shares[own].tolist())))
    return predictions
