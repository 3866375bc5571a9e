"""Character-level averages of start and end probabilities: models with different tokenizers on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qakit.api import EnsembleMember, Example, Pool, Prediction, SpanPrediction, UsageError
from qakit_ensemble import CharAverageSettings
from qakit_ensemble.alignment import usable_weights
from qakit_ensemble.axis import Axis, Float64, Gold, Int64, Side, gold_places
from qakit_ensemble.fitting import fit_temperature, mixture_weights, temperature_rows
from qakit_ensemble.spans import Scores, search

LEAST = 1e-12
"""Probabilities of gold places and of "no answer" count as at least this."""


@dataclass(frozen=True, slots=True)
class CharacterPool:
    """The members' axis with their questions."""

    axis: Axis
    members: int
    """M."""
    examples: Sequence[Example]
    settings: CharAverageSettings
    longest: Int64
    """(M, N) the longest candidate of each member, in characters."""
    may_be_null: NDArray[np.bool_]
    """(M, N) whether a member reckons with "no answer"."""
    warm: dict[tuple[bool, int, float], tuple[Float64, Float64]] = field(default_factory=dict)
    """Probabilities by side (True for ends), member and temperature, for the temperatures that were asked for last."""

    @staticmethod
    def of(
        axis: Axis, members: Sequence[EnsembleMember], examples: Sequence[Example], settings: CharAverageSettings
    ) -> CharacterPool:
        """The pool of members that answer with spans."""
        longest = np.ones((len(members), len(examples)), np.int64)
        may_be_null = np.zeros((len(members), len(examples)), np.bool_)
        for number, member in enumerate(members):
            for row, each in enumerate(member.predictions):
                assert isinstance(each, SpanPrediction)
                longest[number, row] = max(map(len, (candidate.text for candidate in each.candidates)), default=1)
                may_be_null[number, row] = each.null is not None
        return CharacterPool(axis, len(members), examples, settings, longest, may_be_null)

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:
        """The best spans of the averages."""
        own = usable_weights(weights, self.members)
        if any(each[2] != temperatures[each[1]] for each in self.warm):
            self.warm.clear()
        taking_part = [number for number, weight in enumerate(own) if weight > 0]
        start, start_null = self._average(self.axis.start, own, temperatures)
        end, end_null = self._average(self.axis.end, own, temperatures)
        scores = Scores(self.axis, start, end, start_null + end_null)
        return list(
            search(
                scores,
                self.examples,
                n_best=n_best,
                longest=self._limits(taking_part),
                may_be_null=np.asarray(self.may_be_null[taking_part].any(0), np.bool_),
            )
        )

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Temperatures of each member by itself, then the weights under which gold starts and ends are likeliest.

        Where a gold answer starts (ends) within a member's token, that token is the right one.

        Raises:
            UsageError: no gold answer is known with its place.
        """
        chosen = np.sort(np.asarray(rows, np.int64))
        gold = gold_places(self.axis, self.examples, chosen)
        few = temperature_rows(chosen.tolist())
        sides = [self.axis.start.only(few), self.axis.end.only(few)]
        few_gold = gold_places(self.axis, self.examples, few)
        temperatures = tuple(_temperature(member, sides, few_gold) for member in range(self.members))
        both = [self.axis.start.only(chosen), self.axis.end.only(chosen)]
        events = [_chances(member, value, both, gold) for member, value in enumerate(temperatures)]
        return mixture_weights(np.stack(events, 1)), temperatures

    def _average(self, side: Side, weights: Sequence[float], temperatures: Sequence[float]) -> tuple[Float64, Float64]:
        """Logarithms of the averages: of the places (U,), and of "no answer" (N,)."""
        by_log = self.settings.mean == "log"
        places, nulls = np.zeros(len(side.place)), np.zeros(side.null.shape[1])
        reached = np.zeros(len(side.place), np.bool_)
        for member, weight in enumerate(weights):
            if weight == 0:
                continue
            asked = (side is self.axis.end, member, temperatures[member])
            if asked not in self.warm:
                self.warm[asked] = side.probabilities(member, temperatures[member])
            own, null = self.warm[asked]
            if by_log:
                reached |= own > 0
                places += weight * np.log(np.maximum(own, self.settings.floor))
                nulls += weight * np.log(np.maximum(null, self.settings.floor))
            else:
                places += weight * own
                nulls += weight * null
        if by_log:
            return np.where(reached, places, -np.inf), nulls
        with np.errstate(divide="ignore"):
            return np.log(places), np.log(np.maximum(nulls, LEAST))

    def _limits(self, taking_part: Sequence[int]) -> Int64:
        """(N,) the longest answer to each question, in characters."""
        if self.settings.max_answer_length is not None:
            return np.full(len(self.examples), self.settings.max_answer_length, np.int64)
        return np.asarray(self.longest[taking_part].max(0), np.int64)


def _chances(member: int, temperature: float, sides: Sequence[Side], gold: Gold) -> Float64:
    """What a member gives to the right starts and ends, one after the other."""
    return np.concatenate(
        [gold.chances(number, member, *side.probabilities(member, temperature)) for number, side in enumerate(sides)]
    )


def _temperature(member: int, sides: Sequence[Side], gold: Gold) -> float:
    def loss(temperature: float) -> float:
        return -float(np.log(np.maximum(_chances(member, temperature, sides, gold), LEAST)).mean())

    return fit_temperature(loss)


class CharAverage:
    """Each member's probabilities that the answer starts, and ends, at a character are averaged, "no answer" among
    them; then the best spans are searched exactly, once in each context.

    A character counts where a member's token starts (ends). A span's score is the logarithm of the averages of its
    start and its end, less those of "no answer". Source: how teams combine tokenizers in span extraction, e.g. the
    first solution of Kaggle's Tweet Sentiment Extraction, 2020.
    """

    reads_characters = True
    decodes = True

    def __init__(self, settings: CharAverageSettings) -> None:
        self._settings = settings
        self.learns = settings.mean == "probability"  # the likelihood of `log` is another

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        """Not from predictions alone.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"char_average cannot combine {len(members)} members by their answers alone: it needs runs with "
            "`predict: {character_scores: true}`; nbest needs candidates, and voting answers"
        )

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        """The members' characters on one axis.

        Raises:
            UsageError: a member has no character scores or no answers, or the examples are not known.
            DataError: character scores are of other examples.
        """
        if not members:
            raise UsageError("an ensemble needs at least one member")
        if examples is None:
            raise UsageError("char_average needs the questions with their contexts; only runs know them")
        scores = []
        for member in members:
            if member.characters is None:
                raise UsageError(
                    f"{member.name} has no character scores: predict with `predict: {{character_scores: true}}`"
                )
            odd = next((each for each in member.predictions if not isinstance(each, SpanPrediction)), None)
            if odd is not None:
                raise UsageError(f"{member.name} does not answer with spans: id {odd.id!r} is {odd.final!r}")
            scores.append(member.characters)
        scores[0].check(examples)
        for other in scores[1:]:
            other.check(examples)
        return CharacterPool.of(Axis.of(scores), members, examples, self._settings)
