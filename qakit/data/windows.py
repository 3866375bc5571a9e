"""Windows: which slices of which texts make one model input. Index arrays only; tokens stay in the store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


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
        return (context + self.query_stop).astype(np.int32)

    @staticmethod
    def single(
        *, example: Int32, query_stop: Int32, pair: Int32, first: Int32, stop: Int32, answer_first: Int32, answer_stop: Int32
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
