"""Where on the members' axis the gold answers start and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.api import Example, UsageError
from qakit_ensemble.axis import Axis, Float64, Int64, Side
from qakit_ensemble.right import NOTHING


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
