"""The places where tokens of any member start or end, on one axis of characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.api import CharacterScores

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Side:
    """Starts, or ends, of N questions: U places in all.

    Attributes:
        place: (U,) ascending, the character on the axis of all contexts one after the other.
        row: (U,) the question of each place.
        log: (M, U) float32, log-probabilities; -inf where a member has no token there.
        null: (M, N) float32, those of "no answer".
        first: (N + 1,) the places of question i are [first[i], first[i + 1]).
    """

    place: Int64
    row: Int64
    log: Float32
    null: Float32
    first: Int64

    def probabilities(self, member: int, temperature: float) -> tuple[Float64, Float64]:
        """Of the places (U,) and of "no answer" (N,): together they sum to 1 for each question."""
        places, nulls = self.log[member].astype(np.float64), self.null[member].astype(np.float64)
        if temperature != 1.0:
            places /= temperature
            nulls /= temperature
            peak = self.peaks(places, nulls)  # a low temperature would leave nothing of them otherwise
            places -= peak[self.row]
            nulls -= peak
        places, nulls = np.exp(places), np.exp(nulls)
        totals = nulls + np.bincount(self.row, places, minlength=len(nulls))
        return places / totals[self.row], nulls / totals

    def peaks(self, places: Float64, nulls: Float64) -> Float64:
        """(N,) the largest value of each question."""
        largest = nulls.copy()
        some = np.diff(self.first) > 0
        if some.any():
            largest[some] = np.maximum(largest[some], np.maximum.reduceat(places, self.first[:-1][some]))
        return largest

    def only(self, rows: Int64) -> Side:
        """Some of the questions, as rows 0, 1 ... of their own."""
        number = np.full(len(self.first) - 1, -1, np.int64)
        number[rows] = np.arange(len(rows))
        kept = number[self.row] >= 0
        counts = np.diff(self.first)[rows]
        first = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return Side(self.place[kept], number[self.row[kept]], self.log[:, kept], self.null[:, rows], first)


@dataclass(frozen=True, slots=True)
class Axis:
    """Starts and ends of M members' character scores, and where contexts lie on their axis.

    Attributes:
        start, end: see :class:`Side`.
        pointers: (P + 1,) the characters of (question, context) pair p are [pointers[p], pointers[p + 1]).
        examples: (N + 1,) the pairs of question i are [examples[i], examples[i + 1]).
    """

    start: Side
    end: Side
    pointers: Int64
    examples: Int64

    @staticmethod
    def of(scores: Sequence[CharacterScores]) -> Axis:
        """The axis of scores of the same contexts."""
        pointers, examples = np.asarray(scores[0].pointers), np.asarray(scores[0].examples)
        bounds = pointers[examples]  # (N + 1,) each question's characters
        return Axis(
            _side([each.start for each in scores], [each.no_answer[:, 0] for each in scores], bounds),
            _side([each.end for each in scores], [each.no_answer[:, 1] for each in scores], bounds),
            pointers,
            examples,
        )


def _side(scores: Sequence[NDArray[np.float16]], nulls: Sequence[Float32], bounds: Int64) -> Side:
    finite = np.zeros(len(scores[0]), np.bool_)
    for own in scores:
        finite |= np.asarray(own) > -np.inf
    place = np.flatnonzero(finite)
    first = np.searchsorted(place, bounds)
    row = np.repeat(np.arange(len(bounds) - 1), np.diff(first))
    log = np.stack([np.asarray(own)[place].astype(np.float32) for own in scores])
    return Side(place, row, log, np.stack([np.asarray(own) for own in nulls]), first)
