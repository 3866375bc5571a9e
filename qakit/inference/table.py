"""The decoded candidates of all windows, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Float32, Int32, Int64
from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.errors import ModelError, PluginError
from qakit.inference.spans import BROKEN_SCORES
from qakit.protocols import SpanCandidates

Rows = tuple[NDArray[Any], ...]
"""Some rows of a table, for another process: their numbers (R,), then as much of each of its columns."""


YES_NO_START = (-1, -2)
"""What stands in place of the first and the last character of yes and of no, which have none."""


class SpanTable:
    """K candidates for each of W windows, filled batch by batch in any order.

    Of a head that learns yes and no, each window's last two places are for these, in the window's first context.

    Attributes:
        segment: (W, K) int32, row in ``Windows.pair``.
        start: (W, K) int32, first character in the context.
        end: (W, K) int32, one past the last character.
        score: (W, K) float32, -inf in unused places.
        null: (W,) float32, the "no answer" score; NaN until the window is added.
    """

    def __init__(self, windows: int, places: int, encoded: EncodedExamples) -> None:
        """``windows`` W; a head's spans beyond the best ``places`` of a window are left out."""
        self._spans = places
        places += 0 if encoded.yes_no is None else len(YES_NO_START)
        self._offsets = encoded.store.offsets
        self.segment: Int32 = np.full((windows, places), -1, np.int32)
        self.start: Int32 = np.zeros((windows, places), np.int32)
        self.end: Int32 = np.zeros((windows, places), np.int32)
        self.score: Float32 = np.full((windows, places), -np.inf, np.float32)
        self.null: Float32 = np.full(windows, np.nan, np.float32)

    @property
    def missing(self) -> int:
        """Windows that have not been added yet."""
        return int(np.isnan(self.null).sum())

    def add(self, batch: Batch, decoded: SpanCandidates) -> None:
        """Take over a batch's candidates, as characters.

        Spans that begin in one context and end in another, or whose last token stands before the first, are left out.

        Raises:
            ModelError: scores are NaN or infinite.
            PluginError: the head decoded spans that are not sorted, or one outside the contexts.
        """
        places = min(self._spans, decoded.score.shape[1])
        first = decoded.first[:, :places].cpu().numpy()
        last = decoded.last[:, :places].cpu().numpy()
        score = decoded.score[:, :places].float().cpu().numpy()
        null = decoded.null.float().cpu().numpy()
        if not (np.isfinite(null).all() and (score < np.inf).all()):
            raise ModelError(BROKEN_SCORES)
        if (score[:, 1:] > score[:, :-1]).any():
            raise PluginError("gives candidates that are not sorted, best first")

        row = np.arange(len(batch))[:, None]
        used = score > -np.inf  # (B, K)
        positions = batch.segment.shape[1]
        if (used & ((first < 0) | (last < 0) | (first >= positions) | (last >= positions))).any():
            raise PluginError("gives positions outside the input")
        first, last = np.where(used, first, 0), np.where(used, last, 0)
        segment, last_segment = batch.segment[row, first], batch.segment[row, last]
        if (used & ((segment < 0) | (last_segment < 0))).any():
            raise PluginError("gives a span outside the contexts")
        used &= (segment == last_segment) & (first <= last)
        self.add_tokens(
            batch.window,
            segment=segment,
            first=batch.token[row, first],
            last=batch.token[row, last],
            score=np.where(used, score, -np.inf),
            null=null,
        )
        if decoded.yes_no is not None:
            self._add_yes_no(batch, decoded.yes_no.float().cpu().numpy())

    def _add_yes_no(self, batch: Batch, score: Float32) -> None:
        """``score`` (B, 2); a window without a context token has no such answer."""
        if not np.isfinite(score).all():
            raise ModelError(BROKEN_SCORES)
        segment = np.where(batch.segment >= 0, batch.segment, np.iinfo(np.int32).max).min(1)
        some = np.flatnonzero((batch.segment >= 0).any(1))
        window = batch.window[some]
        self.segment[window, self._spans :] = segment[some, None]
        self.start[window, self._spans :] = self.end[window, self._spans :] = YES_NO_START
        self.score[window, self._spans :] = score[some]

    def add_tokens(
        self, window: Int64, *, segment: Int32, first: Int64, last: Int64, score: Float32, null: Float32
    ) -> None:
        """Take over candidates, as characters.

        Args:
            window: (B,) rows of this table.
            segment: (B, K) row in ``Windows.pair``.
            first: (B, K) the first token, as its index in the flat store; anything where the score is -inf.
            last: (B, K) the last token likewise, inclusive.
            score: (B, K), -inf in unused places; K at most the table's places.
            null: (B,).
        """
        places = score.shape[1]
        used = score > -np.inf
        if used.any():  # otherwise there may be no token at all to look up
            start = self._offsets[np.where(used, first, 0), 0]
            end = self._offsets[np.where(used, last, 0), 1]
            self.start[window, :places] = start
            self.end[window, :places] = end
        self.segment[window, :places] = segment
        self.score[window, :places] = score
        self.null[window] = null

    def rows(self) -> Rows:
        """The windows that have been added here, to send to another process."""
        window = np.flatnonzero(~np.isnan(self.null))
        return window, *(column[window] for column in self._columns)

    def merge(self, rows: Rows) -> None:
        """Take over what another process added to its table of the same windows and places."""
        window, *columns = rows
        for own, values in zip(self._columns, columns, strict=True):
            own[window] = values

    @property
    def _columns(self) -> Rows:
        return self.segment, self.start, self.end, self.score, self.null
