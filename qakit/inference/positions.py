"""The scores of single tokens, brought together from all windows that hold them."""

from __future__ import annotations

import numpy as np

from qakit.data.arrays import Float32, Int32, Int64
from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.ragged import pointers_of
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.inference.spans import BROKEN_SCORES
from qakit.inference.table import Rows
from qakit.protocols import PositionScores

UNIT = 2.0**-24
"""Sums are kept in multiples of this: additions of whole numbers give the same result in any order, those of floats
do not. A float32 beyond 1/2 is no finer."""
LARGEST = 2.0**14
"""Log-odds are kept within ± this: 2**12 windows of 2**13 tokens can be added without overflow."""


class PositionTable:
    """Start and end log-odds of every token of every (example, context) pair, filled batch by batch in any order.

    A token in several windows has the mean of its scores, or their maximum. In the mean a window counts as much as it
    sees around the token: its tokens from there to its nearer end. The table takes 12 bytes a token (20 for the mean),
    however many windows there are.

    Attributes:
        pointers: (P + 1,) int64; the tokens of pair p are [pointers[p], pointers[p + 1]), M in all. A context of
            several examples has tokens of its own in each of them.
        weight: (M,) int32, the sum of the weights that have been added for each token; 0 where no window holds it.
    """

    def __init__(self, encoded: EncodedExamples, windows: Windows, *, mean: bool) -> None:
        """``windows``: those that the batches are of."""
        self.pointers = pointers_of(encoded.context_lengths)
        self._origin = encoded.store.pointers[encoded.context]  # (P,) where each pair's tokens begin in the flat store
        self._windows = windows
        self._mean = mean
        tokens = int(self.pointers[-1])
        self.weight: Int32 = np.zeros(tokens, np.int32)
        self._start: Float32 | Int64
        self._end: Float32 | Int64
        if mean:
            self._start, self._end = np.zeros((2, tokens), np.int64)
        else:
            self._start, self._end = np.full((2, tokens), -np.inf, np.float32)

    def add(self, batch: Batch, scores: PositionScores) -> None:
        """Take over the scores of a batch's tokens, as far as ``batch.start_mask`` says that its windows answer for
        them.

        Raises:
            ModelError: scores are NaN or infinite.
        """
        mask = batch.start_mask.cpu().numpy()
        segment = batch.segment[mask]
        pair = self._windows.pair[segment]
        number = batch.token[mask] - self._origin[pair]  # counted from the context's start
        token = self.pointers[pair] + number
        weight = 1 + np.minimum(number - self._windows.first[segment], self._windows.stop[segment] - 1 - number)
        np.add.at(self.weight, token, weight)
        for kept, added in ((self._start, scores.start), (self._end, scores.end)):
            values = added.float().cpu().numpy()[mask]
            if not (values < np.inf).all():  # NaN is not
                raise ModelError(BROKEN_SCORES)
            if self._mean:
                whole = np.clip(values.astype(np.float64), -LARGEST, LARGEST) / UNIT
                np.add.at(kept, token, weight * np.rint(whole).astype(np.int64))
            else:
                np.maximum.at(kept, token, values)

    @property
    def start(self) -> Float32:
        """(M,) log-odds of each token as the answer's first one against "no answer"; -inf where no window holds it."""
        return self._values(self._start)

    @property
    def end(self) -> Float32:
        """(M,) log-odds of each token as the answer's last one (inclusive), likewise."""
        return self._values(self._end)

    def rows(self) -> Rows:
        """The tokens that have been added here, to send to another process."""
        token = np.flatnonzero(self.weight)
        return token, self.weight[token], self._start[token], self._end[token]

    def merge(self, rows: Rows) -> None:
        """Take over what another process added to its table of the same windows."""
        token, weight, start, end = rows
        combine = np.add if self._mean else np.maximum
        self.weight[token] += weight
        self._start[token] = combine(self._start[token], start)
        self._end[token] = combine(self._end[token], end)

    def _values(self, kept: Float32 | Int64) -> Float32:
        if not self._mean:
            return kept.astype(np.float32, copy=False)
        mean = kept * UNIT / np.maximum(self.weight, 1)
        return np.where(self.weight > 0, mean, -np.inf).astype(np.float32)
