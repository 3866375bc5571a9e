"""Majority voting over answers or classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qakit.api import (
    EnsembleMember,
    Example,
    LabelPrediction,
    Pool,
    Prediction,
    SetPrediction,
    SpanPrediction,
    UsageError,
)
from qakit_ensemble import VotingSettings
from qakit_ensemble.alignment import as_members, usable_weights
from qakit_ensemble.axis import Float64
from qakit_ensemble.fitting import greedy_weights
from qakit_ensemble.right import right_texts, same

_DIGITS = 9
"""Sums of weights that agree to this many decimals are a tie: 0.1 + 0.2 and 0.3 are."""


@dataclass(slots=True)
class _Choice:
    """An answer and the members that gave it."""

    voters: list[int] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)


class Voting:
    """Each question's answer is the one with the most votes.

    Answers count as equal when they are after NFKC and stripping; the written text is the most voted original form,
    with the candidates of the earliest member that gave it.
    """

    reads_characters = False
    decodes = False

    def __init__(self, settings: VotingSettings) -> None:
        self._weights = settings.weights
        self._by_score = settings.ties == "score"

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        """One prediction for each id, in the first member's order.

        Raises:
            UsageError: no members, another number of weights than members, other ids in a member, or numbers
                (regression) instead of answers.
        """
        weights = self._weights or (1.0,) * len(members)
        usable_weights(weights if members else None, len(members) or 1)
        return self.elect(as_members(members), weights)

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        """The members' ballots."""
        return _Ballots(self, members, examples)

    def elect(self, members: Sequence[EnsembleMember], weights: Sequence[float]) -> list[Prediction]:
        """The elected predictions, in the members' order of questions; members with weight 0 have no say."""
        voters = [number for number, weight in enumerate(weights) if weight > 0]
        votes = [weights[voter] for voter in voters]
        columns = zip(*(members[voter].predictions for voter in voters), strict=True)
        return [self._elect(ballots, votes) for ballots in columns]

    def _elect(self, ballots: Sequence[Prediction], weights: Sequence[float]) -> Prediction:
        choices: dict[str, _Choice] = {}
        for voter, ballot in enumerate(ballots):
            choice = choices.setdefault(_key(ballot), _Choice())
            choice.voters.append(voter)
            choice.predictions.append(ballot)
        if len(choices) == 1:
            return _form(next(iter(choices.values())), weights)
        votes = [_votes(choice.voters, weights) for choice in choices.values()]
        tied = [choice for choice, count in zip(choices.values(), votes, strict=True) if count == max(votes)]
        return _form(self._break_tie(tied, weights), weights)

    def _break_tie(self, tied: Sequence[_Choice], weights: Sequence[float]) -> _Choice:
        """``tied`` is in the order of its earliest members, so the first of the best is the earlier one's."""
        if len(tied) == 1 or not self._by_score:
            return tied[0]
        scores = [_score(choice, weights) for choice in tied]
        known = [score for score in scores if score is not None]
        return tied[scores.index(max(known))] if len(known) == len(tied) else tied[0]


@dataclass(frozen=True, slots=True)
class _Ballots:
    voting: Voting
    members: Sequence[EnsembleMember]
    examples: Sequence[Example] | None

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:  # noqa: ARG002
        return self.voting.elect(self.members, weights)

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Weights by greedy selection for the share of right winners; ties count half."""
        right = right_texts(self.examples, rows)
        answers: list[dict[str, int]] = [{} for _ in right]
        options = np.array(
            [
                [seen.setdefault(_key(member.predictions[row]), len(seen)) for member in self.members]
                for seen, row in zip(answers, right, strict=True)
            ]
        )  # (Q, M) which of the question's answers each member gave
        correct = np.zeros((len(options), options.max() + 1))
        for place, (seen, golds) in enumerate(zip(answers, right.values(), strict=True)):
            for text, option in seen.items():
                correct[place, option] = text in golds

        def loss(counts: Float64) -> float:
            votes = np.zeros_like(correct)
            for member, count in enumerate(counts):
                votes[np.arange(len(votes)), options[:, member]] += count
            winners = votes >= votes.max(1, keepdims=True) - 1e-9
            return -float(((winners * correct).sum(1) / winners.sum(1)).mean())

        return greedy_weights(len(self.members), loss), (1.0,) * len(self.members)


def _text(prediction: Prediction) -> str:
    if isinstance(prediction, LabelPrediction) and not isinstance(prediction.label, str):
        raise UsageError(
            f"the prediction for id {prediction.id!r} is a number ({prediction.label}); voting needs answers or "
            "classes, and `mean` is for numbers"
        )
    return prediction.final


def _key(prediction: Prediction) -> str:
    return same(_text(prediction))


def _votes(voters: Sequence[int], weights: Sequence[float]) -> float:
    return round(math.fsum(weights[voter] for voter in voters), _DIGITS)


def _form(choice: _Choice, weights: Sequence[float]) -> Prediction:
    """The prediction with the most voted spelling; of even ones the earliest."""
    spellings: dict[str, list[int]] = {}
    for voter, prediction in zip(choice.voters, choice.predictions, strict=True):
        spellings.setdefault(_text(prediction), []).append(voter)
    best = max(spellings, key=lambda text: _votes(spellings[text], weights))
    return next(prediction for prediction in choice.predictions if _text(prediction) == best)


def _score(choice: _Choice, weights: Sequence[float]) -> float | None:
    """Weighted sum of the probabilities that the voters give this answer; None if one of them has none."""
    known = [_probability(prediction) for prediction in choice.predictions]
    if None in known:
        return None
    return math.fsum(
        weights[voter] * value for voter, value in zip(choice.voters, known, strict=True) if value is not None
    )


def _probability(prediction: Prediction) -> float | None:
    if isinstance(prediction, SetPrediction):
        return None
    if not isinstance(prediction, SpanPrediction):
        return max(prediction.scores, default=None)  # of the class or context that it names
    if not prediction.answer:
        return prediction.null.probability if prediction.null else None
    key = _key(prediction)
    for candidate in prediction.candidates:
        if same(candidate.text) == key:
            return candidate.probability
    # Clean-up may have changed the text of the best candidate.
    return prediction.best.probability if prediction.best else None
