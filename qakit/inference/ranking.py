"""All places of a table in the order of their examples and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.inference.spans import BROKEN_SCORES
from qakit.inference.table import SpanTable

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The usable places of a table, sorted by example and then by score, best first: C in all.

    Equal scores stay in the order of windows and of places within a window, so the result does not depend on batches.

    Attributes:
        pointers: (N + 1) the places of example i are [pointers[i], pointers[i + 1]).
        context: (C) which of the example's contexts.
        start, end: (C) characters.
        score: (C).
    """

    pointers: list[int]
    context: list[int]
    start: list[int]
    end: list[int]
    score: list[float]

    def add(self, context: int, start: int, end: int, score: float) -> int:
        """Another place, of no example; returns its number."""
        for column, value in zip((self.context, self.start, self.end), (context, start, end), strict=True):
            column.append(value)
        self.score.append(score)
        return len(self.score) - 1


def rank(table: SpanTable, windows: Windows, encoded: EncodedExamples) -> Ranked:
    """Sort a table's used places.

    Raises:
        ModelError: a score is NaN or infinite.
    """
    if not (table.score < np.inf).all():  # NaN is no smaller either
        raise ModelError(BROKEN_SCORES)
    used = np.flatnonzero(table.score > -np.inf)
    example = windows.example[used // table.score.shape[1]]
    score = table.score.ravel()[used]
    order = score_order(example, score)
    used, example = used[order], example[order]
    pair = windows.pair[table.segment.ravel()[used]]
    counts = np.bincount(example, minlength=len(encoded))
    return Ranked(
        pointers=np.concatenate([np.zeros(1, np.int64), counts.cumsum()]).tolist(),
        context=(pair - encoded.pointers[example]).tolist(),
        start=table.start.ravel()[used].tolist(),
        end=table.end.ravel()[used].tolist(),
        score=score[order].tolist(),
    )


def score_order(example: NDArray[np.int32], score: NDArray[np.float32]) -> Int64:
    """What ``np.lexsort((-score, example))`` gives, by one sort of 64-bit keys: example above, score below."""
    bits = (0.0 - score).view(np.int32)  # 0 - 0 is +0 also for score -0
    # As integers, the bits of positive floats ascend with them, those of negative floats descend.
    ascending = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return np.argsort((example.astype(np.int64) << 32) + ascending, kind="stable")
