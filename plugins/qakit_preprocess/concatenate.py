"""All contexts of an example in one window, or in as few as they fit into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from qakit.api import EncodedExamples, WindowRuntime, Windows
from qakit_preprocess import ConcatenateSettings
from qakit_preprocess.even import steps
from qakit_preprocess.every_context import comparable
from qakit_preprocess.pairs import Pairs, all_pairs


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens [first, stop) of one context (a row of ``EncodedExamples.context``) in a window."""

    pair: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Concatenate:
    """The contexts one after the other, separated as the tokenizer separates a question from its context.

    What does not fit into one window continues in the next one, which begins ``step`` tokens (separators counted)
    further on: a context may be cut, and the end of one window is the beginning of the next one.
    """

    settings: ConcatenateSettings
    runtime: WindowRuntime

    @property
    def redraws(self) -> bool:
        return False

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:  # noqa: ARG002 (the protocol's)
        """Every window, sorted by example and place.

        Raises:
            UsageError: ``overlap`` leaves no step forward.
            DataError: nothing to train on, or an example without a context.
        """
        pairs = all_pairs(encoded, self.runtime)
        if self.runtime.training:
            pairs = pairs.take(comparable(encoded)[pairs.example])
        separator = self.runtime.separator_tokens
        rows = np.flatnonzero(np.diff(pairs.example, prepend=-1))  # each example's first pair
        ends = np.append(rows, len(pairs))[1:]
        laid = pairs.length + separator  # each context behind a separator; the first one's is in every window's room
        totals = np.add.reduceat(laid, rows) - separator if len(rows) else rows
        step = steps(replace(pairs.take(rows), length=totals), self.settings, self.runtime)
        pieces: list[Piece] = []
        counts: list[int] = []
        owner: list[int] = []
        columns = (each.tolist() for each in (rows, ends, totals, step))
        for begin, end, total, forward in zip(*columns, strict=True):
            contexts = _contexts(pairs, begin, end, separator=separator)
            for window in _windows(contexts, total=total, room=int(pairs.room[begin]), step=forward):
                pieces += window
                counts.append(len(window))
                owner.append(begin)
        place = np.array([piece.pair for piece in pieces], np.int64)
        first, stop = (np.array([getattr(piece, name) for piece in pieces], np.int64) for name in ("first", "stop"))
        holds = (encoded.answer_first[place] >= first) & (encoded.answer_stop[place] <= stop)  # -1 is never >= first
        return Windows(
            example=pairs.example[owner].astype(np.int32),
            query_stop=pairs.query_stop[owner].astype(np.int32),
            pointers=np.cumsum([0, *counts], dtype=np.int64),
            pair=place.astype(np.int32),
            first=first.astype(np.int32),
            stop=stop.astype(np.int32),
            answer_first=np.where(holds, encoded.answer_first[place], -1).astype(np.int32),
            answer_stop=np.where(holds, encoded.answer_stop[place], -1).astype(np.int32),
        )


@dataclass(frozen=True, slots=True)
class _Laid:
    """A context of ``length`` tokens in the stream of an example's contexts and separators, from token ``start`` on."""

    pair: int
    start: int
    length: int


def _contexts(pairs: Pairs, begin: int, end: int, *, separator: int) -> list[_Laid]:
    """The contexts of the example whose pairs are [begin, end), laid end to end with separators between them."""
    lengths = pairs.length[begin:end]
    starts = np.cumsum(lengths + separator) - lengths - separator
    columns = (pairs.pair[begin:end].tolist(), starts.tolist(), lengths.tolist())
    return [_Laid(*column) for column in zip(*columns, strict=True)]


def _windows(contexts: list[_Laid], *, total: int, room: int, step: int) -> Iterator[list[Piece]]:
    """What each window holds of the stream: ``room`` tokens, the next one ``step`` further on.

    The separator before a window's first piece is among the special tokens that have a place of their own.
    """
    at = 0
    while True:
        until = at + room
        window = []
        for each in contexts:
            first, stop = max(0, at - each.start), min(each.length, until - each.start)
            if first < stop or (not each.length and at <= each.start <= until):
                window.append(Piece(each.pair, first, stop))
        yield window
        if until >= total:
            return
        at += step
