"""Majority voting over answers or classes."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qakit.api import LabelPrediction, Prediction, SpanPrediction, UsageError
from qakit_ensemble.settings import VotingSettings

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

    def __init__(self, settings: VotingSettings) -> None:
        self._weights = settings.weights
        self._by_score = settings.ties == "score"

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        """One prediction for each id, in the first member's order.

        Raises:
            UsageError: no members, another number of weights than members, other ids in a member, or numbers
                (regression) instead of answers.
        """
        if not members:
            raise UsageError("an ensemble needs at least one member")
        weights = self._weights or (1.0,) * len(members)
        if len(weights) != len(members):
            raise UsageError(f"there are {len(weights)} weights for {len(members)} members; give one for each")
        by_id = [_by_id(member, number) for number, member in enumerate(members, start=1)]
        for number, others in enumerate(by_id[1:], start=2):
            if others.keys() != by_id[0].keys():
                odd = sorted(others.keys() ^ by_id[0].keys())
                raise UsageError(f"member {number} and member 1 have other ids, for example {', '.join(odd[:5])}")
        return [self._elect([member[id_] for member in by_id], weights) for id_ in by_id[0]]

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


def _by_id(member: Sequence[Prediction], number: int) -> Mapping[str, Prediction]:
    found = {prediction.id: prediction for prediction in member}
    if len(found) != len(member):
        raise UsageError(f"member {number} has an id more than once")
    return found


def _text(prediction: Prediction) -> str:
    if isinstance(prediction, SpanPrediction):
        return prediction.answer
    if not isinstance(prediction.label, str):
        raise UsageError(
            f"the prediction for id {prediction.id!r} is a number ({prediction.label}); voting needs answers or classes"
        )
    return prediction.label


def _key(prediction: Prediction) -> str:
    return unicodedata.normalize("NFKC", _text(prediction)).strip()


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
    if isinstance(prediction, LabelPrediction):
        return None  # class scores are on the head's own scale
    if not prediction.answer:
        return prediction.null.probability if prediction.null else None
    key = _key(prediction)
    for candidate in prediction.candidates:
        if unicodedata.normalize("NFKC", candidate.text).strip() == key:
            return candidate.probability
    # Clean-up may have changed the text of the best candidate.
    return prediction.best.probability if prediction.best else None
