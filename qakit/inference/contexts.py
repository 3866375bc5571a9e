"""From logits of windows to the context that holds the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.inference.classification import LogitTable
from qakit.protocols import ContextScores
from qakit.values import ContextPrediction, Example


class ContextTable(LogitTable):
    """One logit for each of W windows."""

    def __init__(self, windows: int) -> None:
        super().__init__(windows, 1)

    def add(self, batch: Batch, decoded: ContextScores) -> None:
        """Take over a batch's logits, (B,); see :meth:`LogitTable.add_logits`."""
        self.add_logits(batch, decoded.scores, wanted=(len(batch),))


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
    table: ContextTable, windows: Windows, encoded: EncodedExamples, examples: Sequence[Example]
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
