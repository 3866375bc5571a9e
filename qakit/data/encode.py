"""Examples as rows of a token store: which texts, and which tokens hold the answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.data.store import TokenStore

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EncodedExamples:
    """N examples with P (example, context) pairs in all, as parallel arrays over a token store.

    Attributes:
        store: the tokens.
        query: (N,) the question's row in the store.
        pointers: (N + 1,) int64; the pairs of example i are [pointers[i], pointers[i + 1]).
        context: (P,) the context's row in the store.
        answer_first: (P,) first token of the target answer (the first placed one), -1 when it is not in this context.
        answer_stop: (P,) one past its last token, -1 likewise.
        answerable: (N,) 1 labelled with an answer, 0 labelled as unanswerable, -1 unlabelled.
        key: (N,) int64, a stable number for each example (a hash of its id): the address of its randomness, the same
            whatever else is in the file.
    """

    store: TokenStore
    query: Int32
    pointers: Int64
    context: Int32
    answer_first: Int32
    answer_stop: Int32
    answerable: Int8
    key: Int64

    def __len__(self) -> int:
        return len(self.query)

    @property
    def query_lengths(self) -> Int32:
        """(N,) tokens of each question."""
        return self.store.lengths[self.query]

    @property
    def context_lengths(self) -> Int32:
        """(P,) tokens of each context."""
        return self.store.lengths[self.context]

    @property
    def pair_example(self) -> Int32:
        """(P,) the example of each pair."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.pointers))
