"""How often members give the same answer."""

from __future__ import annotations

from collections.abc import Sequence

from qakit.protocols import EnsembleMember
from qakit.values import Prediction

Agreement = tuple[tuple[float, ...], ...]
"""Share (0 to 1) of equal answers for each pair of members."""


class Counter:
    """Counts equal answers, block by block."""

    def __init__(self, members: int) -> None:
        self._equal = [[0] * members for _ in range(members)]
        self._changed = [0] * members
        self._questions = 0

    def add(self, members: Sequence[EnsembleMember], combined: Sequence[Prediction]) -> None:
        """A block of questions, and the ensemble's answers to them."""
        answers = [[each.final for each in member.predictions] for member in members]
        result = [each.final for each in combined]
        self._questions += len(result)
        for one, row in zip(answers, self._equal, strict=True):
            for number, other in enumerate(answers):
                row[number] += sum(map(str.__eq__, one, other))
        for number, own in enumerate(answers):
            self._changed[number] += sum(map(str.__ne__, own, result))

    def shares(self) -> tuple[Agreement, tuple[int, ...]]:
        """The shares, and how many of each member's answers the ensemble changes."""
        count = max(1, self._questions)
        return tuple(tuple(equal / count for equal in row) for row in self._equal), tuple(self._changed)
