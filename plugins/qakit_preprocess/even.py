"""Windows at even distances over contexts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qakit.api import EncodedExamples, Places, UsageError, WindowRuntime, Windows
from qakit_preprocess import DEFAULT_OVERLAP, SpacingSettings
from qakit_preprocess.pairs import Bools, Int64, Pairs


@dataclass(frozen=True, slots=True)
class EvenWindows:
    """W windows, sorted by pair and place.

    Attributes:
        of: the pair of each window, with its target answer.
        first: (W,) first context token.
        stop: (W,) one past the last context token.
        others: further places of the answers that are as right; None without any.
    """

    of: Pairs
    first: Int64
    stop: Int64
    others: Places | None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def holds(self) -> Bools:
        """(W,) whether the window holds the whole answer, at any of its places, or evidence for yes or no."""
        holds = self._holds_target | self.of.evidence
        if self.others is not None:
            window, place = self.others.of(self.of.pair)
            first, stop = self.others.first[place], self.others.stop[place]
            holds[window[(first >= self.first[window]) & (stop <= self.stop[window])]] = True
        return holds

    @property
    def _holds_target(self) -> Bools:
        """(W,) whether the window holds the whole target answer."""
        return (self.of.answer_first >= self.first) & (self.of.answer_stop <= self.stop)  # -1 is never >= first

    @property
    def touches(self) -> Bools:
        """(W,) whether the window holds any token of the answer, at any of its places, or evidence for yes or no."""
        touches = (self.of.answer_first < self.stop) & (self.of.answer_stop > self.first)  # -1 is never > first
        touches |= self.of.evidence
        if self.others is not None:
            window, place = self.others.of(self.of.pair)
            first, stop = self.others.first[place], self.others.stop[place]
            touches[window[(first < self.stop[window]) & (stop > self.first[window])]] = True
        return touches

    def windows(self, keep: Bools) -> Windows:
        """The windows of a mask (W,); those that hold the whole target answer are labelled with it."""
        holds = self._holds_target[keep]
        of = self.of.take(keep)
        return Windows.single(
            example=of.example,
            query_stop=of.query_stop,
            pair=of.pair,
            first=self.first[keep],
            stop=self.stop[keep],
            answer_first=np.where(holds, of.answer_first, -1),
            answer_stop=np.where(holds, of.answer_stop, -1),
        )


def lay(pairs: Pairs, step: Int64, encoded: EncodedExamples, *, shift: Int64 | None = None) -> EvenWindows:
    """Windows from each context's start to its end, as ``tokenizer(..., return_overflowing_tokens=True)`` lays them.

    The last window is the first one that reaches the end; it is as short as it comes out. A context that fits is one
    window, an empty context one window without context tokens.

    Args:
        step: (K,) tokens from one window's start to the next one's, at most the room.
        encoded: what the pairs are of.
        shift: (K,) tokens, below ``step``, by which all windows but a context's first are moved to the left.
    """
    moved = np.zeros(len(pairs), np.int64) if shift is None else shift
    beyond = np.maximum(pairs.length - pairs.room, 0)
    counts = np.where(beyond > 0, 1 - (-(beyond + moved) // step), 1)
    ordinal = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row = np.repeat(np.arange(len(pairs)), counts)
    of = pairs.take(row)
    first = np.maximum(ordinal * step[row] - moved[row], 0)
    return EvenWindows(of, first, np.minimum(first + of.room, of.length), encoded.others)


def steps(pairs: Pairs, settings: SpacingSettings, runtime: WindowRuntime) -> Int64:
    """(K,) tokens from one window's start to the next one's.

    Raises:
        UsageError: ``overlap`` leaves no step forward.
    """
    if settings.step is not None:
        return np.minimum(settings.step, pairs.room)
    if settings.overlap is None:
        return pairs.room - np.minimum(DEFAULT_OVERLAP, pairs.room // 2)
    several = pairs.length > pairs.room
    least = int(pairs.room[several].min(initial=settings.overlap + 1))
    if settings.overlap >= least:
        raise UsageError(
            f"preprocess: an overlap of {settings.overlap} tokens leaves no step forward, since beside the longest "
            f"question a window of {runtime.max_length} tokens holds only {least} of the context; choose a smaller "
            "`overlap` or `max_question_length`, or a larger `max_length`"
        )
    return np.maximum(pairs.room - settings.overlap, 1)
