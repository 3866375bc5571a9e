"""Windows: which slices of which texts make one model input. Index arrays only; tokens stay in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Integers = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Windows:
    """W windows with S segments in all, as parallel arrays.

    A window is a question slice followed by one or more context slices (*segments*). Span QA has one segment per
    window, so S = W; concatenated multi-paragraph inputs have several. Token numbers count from the start of their
    text (question or context), not of the window.

    Attributes:
        example: (W,) which example.
        query_stop: (W,) the question's tokens [0, query_stop) are used.
        pointers: (W + 1,) int64; the segments of window w are [pointers[w], pointers[w + 1]).
        pair: (S,) which (example, context) pair: a row of ``EncodedExamples.context``.
        first: (S,) first context token.
        stop: (S,) one past the last context token.
        answer_first: (S,) first token of the target answer, -1 when the segment does not hold all of it.
        answer_stop: (S,) one past the answer's last token, -1 likewise.
    """

    example: Int32
    query_stop: Int32
    pointers: Int64
    pair: Int32
    first: Int32
    stop: Int32
    answer_first: Int32
    answer_stop: Int32

    def __len__(self) -> int:
        return len(self.example)

    @property
    def lengths(self) -> Int32:
        """(W,) question and context tokens of each window, without special tokens."""
        per_segment = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.stop - self.first, dtype=np.int64)])
        context = per_segment[self.pointers[1:]] - per_segment[self.pointers[:-1]]
        lengths: Int32 = (context + self.query_stop).astype(np.int32)
        return lengths

    @staticmethod
    def single(
        *,
        example: Integers,
        query_stop: Integers,
        pair: Integers,
        first: Integers,
        stop: Integers,
        answer_first: Integers,
        answer_stop: Integers,
    ) -> Windows:
        """Windows of one segment each, all arrays (W,)."""
        return Windows(
            example=example.astype(np.int32),
            query_stop=query_stop.astype(np.int32),
            pointers=np.arange(len(example) + 1, dtype=np.int64),
            pair=pair.astype(np.int32),
            first=first.astype(np.int32),
            stop=stop.astype(np.int32),
            answer_first=answer_first.astype(np.int32),
            answer_stop=answer_stop.astype(np.int32),
        )


def owned_tokens(windows: Windows) -> tuple[Int32, Int32]:
    """Which tokens each segment answers for: every context token belongs to the window that sees most around it.

    The context around a token is the smaller of the numbers of tokens to its left and to its right in the window; equal
    numbers go to the window that starts first. A token in several windows would otherwise be a candidate several times,
    once with little context. Source: the "max context" rule of google-research/bert, ``run_squad.py``, without its
    bonus for longer windows.

    Returns:
        first, stop: (S,) each; the segment's own tokens are [first, stop), counted as in ``Windows.first``.
    """
    order = np.lexsort((-windows.stop, windows.first, windows.pair))
    pair, first, stop = (values[order].astype(np.int64) for values in (windows.pair, windows.first, windows.stop))
    # A window inside another one never sees more around a token than the outer one does: it owns nothing.
    shift = int(stop.max(initial=0)) + 2
    reach = np.maximum.accumulate(pair * shift + stop)
    inside = np.zeros(len(order), bool)
    inside[1:] = (pair[1:] == pair[:-1]) & (pair[1:] * shift + stop[1:] <= reach[:-1])
    outer = np.flatnonzero(~inside)
    # The others start and stop in ascending order, so neighbours part in the middle of what they share.
    neighbours = pair[outer[1:]] == pair[outer[:-1]]
    owned_first, owned_stop = first.copy(), stop.copy()
    owned_stop[inside] = first[inside]
    left, right = outer[:-1][neighbours], outer[1:][neighbours]
    middle = (stop[left] + first[right] + 1) // 2
    owned_first[right] = np.maximum(first[right], middle)
    owned_stop[left] = np.minimum(stop[left], middle)
    result = np.empty((2, len(order)), np.int32)
    result[0, order], result[1, order] = owned_first, owned_stop
    return result[0], result[1]
