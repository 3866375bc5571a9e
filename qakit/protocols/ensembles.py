"""Ensembles: several runs' predictions in, one list out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from qakit.values import Example, Prediction

if TYPE_CHECKING:
    from qakit.inference.characters import CharacterScores


@runtime_checkable
class Ensembler(Protocol):
    """Several members' predictions in, one list out."""

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        """Every member holds the same ids; the result keeps the first member's order.

        Raises:
            UsageError: the method needs more than predictions, such as character scores.
        """
        ...


@dataclass(frozen=True, slots=True)
class EnsembleMember:
    """One run in an ensemble, with what it keeps of its predictions for N questions.

    Attributes:
        name: for messages.
        predictions: N of them; all members have the same questions in the same order.
        characters: of the same questions in the same order; None unless the ensembler reads them.
    """

    name: str
    predictions: Sequence[Prediction]
    characters: CharacterScores | None = None


class Pool(Protocol):
    """The predictions of M members on one scale, to be combined with any weights."""

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:
        """One prediction for each question, in their order.

        Candidates are sorted, best first, with probabilities from 0 to 1. The best answer must not depend on
        ``n_best``: 1 is asked for where nothing but the answer matters.

        Args:
            weights: (M,) from 0 up; a member with 0 takes no part at all.
            temperatures: (M,) each member's log-probabilities are divided by its own; methods without probabilities pay
                no heed to them.
            n_best: at most so many candidates for each question, where the method decodes.
        """
        ...

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Weights, which sum to 1, and temperatures that suit the gold answers of some of the questions, (M,) each.

        The same rows teach the same values; gold answers of other rows are not looked at. Lists and arrays will do.

        Raises:
            UsageError: there is nothing to learn from.
        """
        ...


@runtime_checkable
class PoolsMembers(Protocol):
    """Optional for ensemblers: weights, also learnt ones, and character scores.

    Each question is combined by itself: they may come in several pools, one after the other.
    """

    reads_characters: bool
    """Whether ``pool`` needs the members' character scores and the examples."""
    decodes: bool
    """Whether answers are decoded anew. Then the core chooses them, and cleans them up: the best candidate, or "" where
    there is none or ``null.score`` less its score is above a threshold, which is tuned on validation and else 0. It
    does not look at ``answer``. False where members' final answers are chosen from: then ``answer`` is the answer."""

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        """``examples``: the N questions; None where they are not known, which ``learn`` needs in any case.

        Raises:
            UsageError: the members' predictions are of a kind that the method cannot combine.
        """
        ...
