"""The places where tokens of any member start or end, on one axis of characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.api import CharacterScores, Example, UsageError
from qakit_ensemble.right import NOTHING

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


@dataclass(frozen=True, slots=True)
class Gold:
    """Gold places of R questions on both sides, counted as in :meth:`Side.only` of these questions.

    Attributes:
        places: for each side and member, (places, the question of each): what is right for a member, each place once.
        unanswerable: (R,) bool; there the right thing is "no answer".
        known: (K,) the questions with a gold answer in a known place, and the unanswerable ones.
    """

    places: tuple[tuple[tuple[Int64, Int64], ...], ...]
    unanswerable: NDArray[np.bool_]
    known: Int64

    def chances(self, side: int, member: int, places: Float64, nulls: Float64) -> Float64:
        """(K,) what a member gives to the right places of each known question; see :meth:`Side.probabilities`."""
        where, row = self.places[side][member]
        found = np.bincount(row, places[where], minlength=len(nulls))
        return np.asarray(np.where(self.unanswerable, nulls, found)[self.known], np.float64)


def gold_places(axis: Axis, examples: Sequence[Example], rows: Int64) -> Gold:
    """The gold places of the questions ``rows`` (R,).

    An answer that starts within a member's token starts there with that token, and likewise at its end.

    Raises:
        UsageError: there is no gold answer with a place.
    """
    number, pair, first, last = [], [], [], []
    unanswerable = np.zeros(len(rows), np.bool_)
    for place, row in enumerate(rows.tolist()):
        answers = examples[row].answers
        unanswerable[place] = answers == ()
        for answer in answers or ():
            if answer.start is not None and answer.text:
                here = int(axis.examples[row]) + answer.context
                number.append(place)
                pair.append(here)
                first.append(int(axis.pointers[here]) + answer.start)
                last.append(int(axis.pointers[here]) + answer.start + len(answer.text) - 1)
    question, pairs = np.array(number, np.int64), np.array(pair, np.int64)
    known = np.union1d(question, np.flatnonzero(unanswerable))
    if not len(known):
        raise UsageError(NOTHING)
    low, high = axis.pointers[pairs], axis.pointers[pairs + 1]
    start, end = axis.start.only(rows), axis.end.only(rows)
    members = range(len(start.log))
    return Gold(
        (
            tuple(_starts(start, member, np.array(first, np.int64), low, question) for member in members),
            tuple(_ends(end, member, np.array(last, np.int64), high, question) for member in members),
        ),
        unanswerable,
        known.astype(np.int64),
    )


def _starts(side: Side, member: int, character: Int64, low: Int64, question: Int64) -> tuple[Int64, Int64]:
    """The member's last start at each character or before it, within the context."""
    own = np.flatnonzero(side.log[member] > -np.inf)
    index = np.searchsorted(side.place[own], character, side="right") - 1
    return _within(own, index, side.place, question, lambda place: place >= low)


def _ends(side: Side, member: int, character: Int64, high: Int64, question: Int64) -> tuple[Int64, Int64]:
    """The member's first end at each character or after it, within the context."""
    own = np.flatnonzero(side.log[member] > -np.inf)
    index = np.searchsorted(side.place[own], character, side="left")
    return _within(own, index, side.place, question, lambda place: place < high)


def _within(
    own: Int64, index: Int64, place: Int64, question: Int64, inside: Callable[[Int64], NDArray[np.bool_]]
) -> tuple[Int64, Int64]:
    if not len(own):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    chosen = own[np.clip(index, 0, len(own) - 1)]
    sound = (index >= 0) & (index < len(own)) & inside(place[chosen])
    both = np.unique(np.stack([chosen[sound], question[sound]]), axis=1)
    return both[0], both[1]
