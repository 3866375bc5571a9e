"""Summed probabilities of the members' candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.api import (
    Candidate,
    EnsembleMember,
    Example,
    NoAnswer,
    Pool,
    Prediction,
    SetPrediction,
    SpanPrediction,
    UsageError,
)
from qakit_ensemble.alignment import as_members, usable_weights
from qakit_ensemble.axis import Float64, Int64
from qakit_ensemble.fitting import fit_temperature, mixture_weights, temperature_rows
from qakit_ensemble.right import right_texts, same

LEAST = 1e-12
"""Probabilities count as at least this: scores are their logarithms, and finite."""
CHANCE = 1e-4
"""Of a temperature's events: that what a member has not among its candidates happens all the same."""


@dataclass(frozen=True, slots=True)
class Options:
    """N questions, M members, O options, S spellings of them and E (question, member, candidate) entries.

    An option is an answer up to normalisation, "" among them. A spelling is an option with one text at one place. Both
    are numbered question by question, entries stand question by question and member by member.

    Attributes:
        ids: (N,) the questions' ids.
        examples: (N,) the questions, where they are known.
        pointers: (N + 1,) the options of question i are [pointers[i], pointers[i + 1]).
        texts: (O,) the options' normalised texts.
        spellings: (S,) the candidate that has it first; None for "no answer".
        option: (S,) the option of each spelling.
        spelling: (E,) the spelling of each entry.
        member: (E,) its member.
        log: (E,) float64, the logarithm of the probability that the member gives it.
        cell: (E,) N x M cells, question by question: where the entry belongs.
        members: M.
    """

    ids: tuple[str, ...]
    examples: Sequence[Example] | None
    pointers: Int64
    texts: tuple[str, ...]
    spellings: tuple[Candidate | None, ...]
    option: Int64
    spelling: Int64
    member: Int64
    log: Float64
    cell: Int64
    members: int

    @staticmethod
    def of(members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Options:
        """The options of the members' candidates.

        Raises:
            UsageError: a prediction is not an answer.
        """
        pointers: list[int] = [0]
        texts: list[str] = []
        spellings: list[Candidate | None] = []
        option: list[int] = []
        spelling: list[int] = []
        member: list[int] = []
        probability: list[float] = []
        cell: list[int] = []
        rows = zip(*(each.predictions for each in members), strict=True)
        for row, ballots in enumerate(rows):
            known: dict[str, int] = {}
            places: dict[tuple[str, int | None, int] | None, int] = {}  # None: "no answer"
            for number, ballot in enumerate(ballots):
                for candidate, share in _entries(ballot):
                    place = None if candidate is None else (candidate.text, candidate.start, candidate.context)
                    found = places.get(place)
                    if found is None:
                        found = places[place] = len(spellings)
                        spellings.append(candidate)
                        option.append(pointers[-1] + known.setdefault(_key(candidate), len(known)))
                    spelling.append(found)
                    member.append(number)
                    probability.append(share)
                    cell.append(row * len(members) + number)
            pointers.append(pointers[-1] + len(known))
            texts.extend(known)
        return Options(
            ids=tuple(each.id for each in members[0].predictions),
            examples=examples,
            pointers=np.array(pointers, np.int64),
            texts=tuple(texts),
            spellings=tuple(spellings),
            option=np.array(option, np.int64),
            spelling=np.array(spelling, np.int64),
            member=np.array(member, np.int64),
            log=np.log(np.maximum(np.array(probability, np.float64), LEAST)),
            cell=np.array(cell, np.int64),
            members=len(members),
        )

    def shares(self, temperatures: Sequence[float]) -> Float64:
        """(E,) the probabilities of the entries, which sum to 1 over each member's candidates for a question."""
        raised = np.exp(self.log / np.asarray(temperatures, np.float64)[self.member])
        totals = np.bincount(self.cell, raised, minlength=len(self.ids) * self.members)
        return np.asarray(raised / totals[self.cell], np.float64)

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:
        """One prediction for each question: its options by their summed probabilities."""
        own = np.asarray(usable_weights(weights, self.members))
        support = np.bincount(self.spelling, own[self.member] * self.shares(temperatures), minlength=len(self.option))
        total = np.bincount(self.option, support, minlength=len(self.texts))
        # Each option's best-supported spelling; of equal ones the first.
        order = np.lexsort((np.arange(len(support)), -np.round(support, 12), self.option))
        best = order[np.searchsorted(self.option[order], np.arange(len(self.texts)))]
        row = np.repeat(np.arange(len(self.ids)), np.diff(self.pointers))
        ranking = np.lexsort((np.arange(len(total)), -np.round(total, 12), row)).tolist()
        shares, places, bounds = total.tolist(), best.tolist(), self.pointers.tolist()
        answered = [
            self._prediction(number, ranking[bounds[number] : bounds[number + 1]], shares, places, n_best)
            for number in range(len(self.ids))
        ]
        return list(answered)

    def _prediction(
        self, row: int, ranked: Sequence[int], shares: Sequence[float], places: Sequence[int], n_best: int
    ) -> SpanPrediction:
        candidates: list[Candidate] = []
        null = None
        for option in ranked:
            probability = shares[option]
            if probability == 0:  # nobody gives it but members of weight 0
                continue
            spelt = self.spellings[places[option]]
            score = math.log(max(probability, LEAST))
            if spelt is None:
                null = NoAnswer(score, probability)
            elif len(candidates) < n_best:
                candidates.append(Candidate(spelt.text, spelt.start, spelt.end, spelt.context, score, probability))
        wins = not candidates or (null is not None and null.score > candidates[0].score)
        return SpanPrediction(self.ids[row], "" if wins else candidates[0].text, tuple(candidates), null)

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Temperatures of each member by itself, then the weights under which the gold answers are likeliest.

        Where no candidate of a member is right, its temperature's event is that its best one is wrong: leaving such
        questions out would fit it to the easy ones.
        """
        right = right_texts(self.examples, rows)
        labelled = np.array(list(right), np.int64)
        gold = np.zeros(len(self.texts), np.bool_)
        for row, texts in right.items():
            for option in range(self.pointers[row], self.pointers[row + 1]):
                gold[option] = self.texts[option] in texts
        hit = gold[self.option[self.spelling]]
        temperatures = tuple(
            self._temperature(member, temperature_rows(labelled.tolist()), hit) for member in range(self.members)
        )
        shares = self.shares(temperatures) * hit
        events: Float64 = np.bincount(self.cell, shares, minlength=len(self.ids) * self.members).astype(np.float64)
        return mixture_weights(events.reshape(-1, self.members)[labelled]), temperatures

    def _temperature(self, member: int, rows: Int64, hit: NDArray[np.bool_]) -> float:
        own = np.flatnonzero((self.member == member) & np.isin(self.cell // self.members, rows))
        _, question = np.unique(self.cell[own], return_inverse=True)
        questions = int(question.max(initial=-1)) + 1
        log, right = self.log[own], hit[own]
        some = np.bincount(question, right, minlength=questions) > 0
        largest = np.full(questions, -np.inf)
        np.maximum.at(largest, question, log)
        # The right candidates; where there are none, all but the best.
        event = np.where(some[question], right, log < largest[question])
        shifted = log - largest[question]

        def loss(temperature: float) -> float:
            raised = np.exp(shifted / temperature)
            totals = np.bincount(question, raised, minlength=questions)
            chances = np.bincount(question, raised * event, minlength=questions) / totals
            return -float(np.log(CHANCE + (1 - CHANCE) * chances).mean()) if questions else 0.0

        return fit_temperature(loss)


def _key(candidate: Candidate | None) -> str:
    """What a candidate's option is known by: a blank text is one of its own, and not "no answer"."""
    return "" if candidate is None else same(candidate.text) or candidate.text


def _entries(prediction: Prediction) -> list[tuple[Candidate | None, float]]:
    """The candidates of a member's prediction and "no answer", each with its probability."""
    if isinstance(prediction, SetPrediction):
        raise UsageError(
            f"the prediction for id {prediction.id!r} is all answers together; nbest is for single ones: combine sets "
            "with `voting`"
        )
    if not isinstance(prediction, SpanPrediction):
        raise UsageError(
            f"the prediction for id {prediction.id!r} is no answer but {prediction.final!r}; nbest is for answers: "
            "combine classes, numbers and contexts with `mean`"
        )
    entries: list[tuple[Candidate | None, float]] = [(each, each.probability) for each in prediction.candidates]
    if prediction.null is not None:
        entries.append((None, prediction.null.probability))
    if not entries:
        answer = prediction.answer
        entries.append((Candidate(answer, None, None, 0, 0.0, 1.0) if answer else None, 1.0))
    return entries


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
