"""Summed probabilities of the members' candidates."""

from __future__ import annotations

from collections.abc import Sequence

from qakit.api import EnsembleMember, Example, Pool, Prediction, UsageError
from qakit_ensemble.alignment import as_members, usable_weights
from qakit_ensemble.options import Options

N_BEST = 20
"""Candidates of :meth:`Nbest.combine`."""


class Nbest:
    """Each answer's probability is the mean of what the members give it; the largest one wins.

    Candidates count as equal when they are after NFKC and stripping; "no answer" is one of them. An answer stands where
    the candidate with most support has it. A member that knows no candidates (a bare file of answers) is sure of its
    answer.
    """

    reads_characters = False
    decodes = True

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        """With equal weights; one prediction for each id, in the first member's order.

        Raises:
            UsageError: no members, other ids in a member, or classes and numbers instead of answers.
        """
        pool = self.pool(as_members(members), None)
        return pool.combine(usable_weights(None, len(members)), (1.0,) * len(members), n_best=N_BEST)

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        """All candidates.

        Raises:
            UsageError: classes, numbers or contexts instead of answers.
        """
        if not members:
            raise UsageError("an ensemble needs at least one member")
        return Options.of(members, examples)
