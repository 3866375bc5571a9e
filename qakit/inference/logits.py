"""Logits of all windows, filled batch by batch: what heads give that don't look for spans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qakit.data.batch import Batch
from qakit.errors import ModelError, PluginError
from qakit.inference.spans import BROKEN_SCORES

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LogitRows:
    """Some rows of a :class:`LogitTable`, for another process: ``window`` (R,) and ``scores`` (R, C)."""

    window: Int64
    scores: Float32


class LogitTable:
    """C logits for each of W windows, filled batch by batch in any order.

    Attributes:
        scores: (W, C) float32; NaN until the window is added.
    """

    def __init__(self, windows: int, columns: int) -> None:
        self.scores: Float32 = np.full((windows, columns), np.nan, np.float32)

    def add_logits(self, batch: Batch, logits: Tensor, *, wanted: tuple[int, ...]) -> None:
        """Take over a batch's logits; ``wanted`` is the shape that the head should give them.

        Raises:
            PluginError: the head decoded another shape.
            ModelError: a logit is NaN or infinite.
        """
        if tuple(logits.shape) != wanted:
            raise PluginError(f"the head's decode returned scores {tuple(logits.shape)}; they must be {wanted}")
        values = logits.float().cpu().numpy().reshape(len(batch), -1)
        if not np.isfinite(values).all():
            raise ModelError(BROKEN_SCORES)
        self.scores[batch.window] = values

    def rows(self) -> LogitRows:
        """The windows that have been added here, to send to another process."""
        window = np.flatnonzero(~np.isnan(self.scores[:, 0]))
        return LogitRows(window, self.scores[window])

    def merge(self, rows: LogitRows) -> None:
        """Take over what another process added to its table of the same windows."""
        self.scores[rows.window] = rows.scores
