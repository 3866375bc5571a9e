"""Mean of class probabilities, of contexts' probabilities, or of numbers, one or several of each text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from qakit.api import (
    ContextPrediction,
    EnsembleMember,
    Example,
    LabelPrediction,
    Pool,
    Prediction,
    SetPrediction,
    SpanPrediction,
    TargetNames,
    Targets,
    UsageError,
)
from qakit_ensemble.alignment import as_members, usable_weights
from qakit_ensemble.axis import Float64
from qakit_ensemble.fitting import fit_temperature, greedy_weights, mixture_weights, temperature_rows
from qakit_ensemble.right import NOTHING

LEAST = 1e-12
SEVERAL = "several numbers for each text"


class Mean:
    """Classes and contexts by their mean probabilities, the likeliest wins; numbers by their mean."""

    reads_characters = False
    decodes = False

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        """With equal weights; one prediction for each id, in the first member's order.

        Raises:
            UsageError: no members, other ids in a member, answers, or members that do not fit together.
        """
        pool = self.pool(as_members(members), None)
        return pool.combine(usable_weights(None, len(members)), (1.0,) * len(members), n_best=1)

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        """The members' probabilities, or their numbers.

        Raises:
            UsageError: answers, or members that do not fit together.
        """
        if not members:
            raise UsageError("an ensemble needs at least one member")
        kinds = {_kind(prediction) for member in members for prediction in member.predictions}
        if len(kinds) > 1:
            raise UsageError(f"the members predict different things: {' and '.join(sorted(kinds))}")
        if kinds & {"numbers", SEVERAL}:
            return Numbers.of(members, examples)
        return Shares.of(members, examples)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Regression.

    Attributes:
        ids: of the N questions.
        values: (M, N, K) float64, the members' numbers.
        names: what the K numbers are called, in the first member's order; None where there is one without a name.
        examples: the questions, where they are known.
    """

    ids: Sequence[str]
    values: Float64
    names: TargetNames | None
    examples: Sequence[Example] | None

    @staticmethod
    def of(members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Numbers:
        """The members' numbers, those of the same name together.

        Raises:
            UsageError: a member has other numbers than the others.
        """
        predictions = members[0].predictions
        first = next((each.label for each in predictions if isinstance(each, LabelPrediction)), None)
        names = first.names if isinstance(first, Targets) else None
        values = [[_numbers(member, each, names) for each in member.predictions] for member in members]
        shape = len(members), len(predictions), 1 if names is None else len(names)
        return Numbers([each.id for each in predictions], np.array(values).reshape(shape), names, examples)

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:  # noqa: ARG002
        """The mean of the members' numbers."""
        means = np.tensordot(usable_weights(weights, len(self.values)), self.values, 1)  # (N, K)
        return [
            LabelPrediction(id_, numbers[0] if self.names is None else Targets(numbers, self.names))
            for id_, numbers in zip(self.ids, means.tolist(), strict=True)
        ]

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Weights by greedy selection for the least squared error, of all known numbers alike."""
        examples = self.examples or ()
        gold = np.array([self._gold(examples[row]) for row in rows if examples]).reshape(-1, self.values.shape[2])
        known = ~np.isnan(gold)
        if not known.any():
            raise UsageError(NOTHING)
        values = self.values[:, list(rows)][:, known]  # (M, known numbers)
        weights = greedy_weights(
            len(values), lambda counts: float(np.mean((counts @ values / counts.sum() - gold[known]) ** 2))
        )
        return weights, (1.0,) * len(values)

    def _gold(self, example: Example) -> list[float]:
        """(K,) the right numbers; NaN for those that are not known."""
        label = example.label
        if self.names is None:
            return [float(label) if isinstance(label, int | float) else math.nan]
        held = label.by_name() if isinstance(label, Targets) else {}
        return [held.get(name, math.nan) for name in self.names]


@dataclass(frozen=True, slots=True)
class Shares:
    """Probabilities of N questions' classes, or of their contexts.

    Attributes:
        first: the first member's predictions.
        examples: the questions, where they are known.
        log: (M, N, C) float64, logarithms of the members' probabilities; -inf where a question has fewer contexts.
        names: the classes by their place, "" for one that no member tells of nor ever predicts; None for contexts.
    """

    first: Sequence[Prediction]
    examples: Sequence[Example] | None
    log: Float64
    names: tuple[str, ...] | None

    @staticmethod
    def of(members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Shares:
        """The members' probabilities.

        Raises:
            UsageError: a member has none, or other classes than the others.
        """
        widths = [[len(_scores(member, each)) for each in member.predictions] for member in members]
        for member, counts in zip(members[1:], widths[1:], strict=True):
            if counts != widths[0]:
                raise UsageError(f"{member.name} has other classes, or contexts, than {members[0].name}")
        width = max(widths[0], default=0)
        shares = np.zeros((len(members), len(widths[0]), width))
        for number, member in enumerate(members):
            for row, each in enumerate(member.predictions):
                shares[number, row, : widths[0][row]] = np.maximum(_scores(member, each), LEAST)
        first = members[0].predictions
        if not first or not isinstance(first[0], LabelPrediction):
            return Shares(first, examples, _logarithms(shares), None)
        told = next((member for member in members if member.classes), None)
        for number, member in enumerate(members):
            if told is not None and member.classes:
                shares[number] = shares[number][:, _order(member, told, width)]
        log = _logarithms(shares)
        return Shares(first, examples, log, _names(members, log, None if told is None else told.classes))

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:  # noqa: ARG002
        """Each question's mean probabilities; of equal ones the first wins."""
        own = np.asarray(usable_weights(weights, len(self.log)))
        mean = sum(
            weight * softmax(log / t, axis=-1) for weight, log, t in zip(own, self.log, temperatures, strict=True)
        )
        mean = np.where(self.log[0] > -np.inf, mean, 0.0)
        allowed = mean if self.names is None else np.where(np.array([bool(name) for name in self.names]), mean, -1.0)
        winners = np.round(allowed, 12).argmax(1).tolist() if len(mean) else []
        found: list[Prediction] = []
        for row, (each, winner) in enumerate(zip(self.first, winners, strict=True)):
            scores = tuple(mean[row][self.log[0, row] > -np.inf].tolist())
            if self.names is None:
                found.append(ContextPrediction(each.id, winner, scores))
            else:
                found.append(LabelPrediction(each.id, self.names[winner], scores))
        return found

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Temperatures of each member by itself, then the weights under which the gold classes are likeliest."""
        gold = self._gold(rows)
        chosen = temperature_rows(list(gold))
        targets = np.array([gold[row] for row in chosen.tolist()])

        def temperature(log: Float64) -> float:
            def loss(value: float) -> float:
                right = softmax(log[chosen] / value, axis=-1)[np.arange(len(chosen)), targets]
                return -float(np.log(np.maximum(right, LEAST)).mean())

            return fit_temperature(loss)

        temperatures = tuple(temperature(log) for log in self.log)
        places, labels = np.array(list(gold)), np.array(list(gold.values()))
        events = [
            softmax(log[places] / t, axis=-1)[np.arange(len(places)), labels]
            for log, t in zip(self.log, temperatures, strict=True)
        ]
        return mixture_weights(np.stack(events, 1)), temperatures

    def _gold(self, rows: Sequence[int]) -> dict[int, int]:
        """The right class or context of each labelled question."""
        found: dict[int, int] = {}
        for row in rows if self.examples is not None else ():
            example = self.examples[row]  # type: ignore[index]  # known here
            if self.names is None:
                right = example.relevant
            else:
                right = self.names.index(str(example.label)) if str(example.label) in self.names else None
            if right is not None and right < self.log.shape[2] and self.log[0, row, right] > -np.inf:
                found[row] = right
        if not found:
            raise UsageError(NOTHING)
        return found


def _kind(prediction: Prediction) -> str:
    if isinstance(prediction, SpanPrediction | SetPrediction):
        raise UsageError(
            f"the prediction for id {prediction.id!r} is an answer; mean is for classes, numbers and contexts: combine "
            "answers with `voting`, `nbest` or `char_average`"
        )
    if isinstance(prediction, LabelPrediction):
        if isinstance(prediction.label, Targets):
            return SEVERAL
        return "classes" if isinstance(prediction.label, str) else "numbers"
    return "contexts"


def _numbers(member: EnsembleMember, prediction: Prediction, names: TargetNames | None) -> list[float]:
    assert isinstance(prediction, LabelPrediction)
    label = prediction.label
    if not isinstance(label, Targets):
        return [float(label)]
    held = label.by_name()
    if held.keys() != set(names or ()):
        raise UsageError(
            f"{member.name} has other numbers for id {prediction.id!r} ({', '.join(held)}) than the first member "
            f"({', '.join(names or ())})"
        )
    return [held[name] for name in names or ()]


def _scores(member: EnsembleMember, prediction: Prediction) -> tuple[float, ...]:
    assert not isinstance(prediction, SpanPrediction | SetPrediction)
    if not prediction.scores:
        raise UsageError(
            f"{member.name} has no probabilities for id {prediction.id!r}: combine with `voting`, or predict again"
        )
    return prediction.scores


def _logarithms(shares: Float64) -> Float64:
    with np.errstate(divide="ignore"):
        return np.log(shares)


def _order(member: EnsembleMember, told: EnsembleMember, width: int) -> list[int]:
    """Where a member has the classes that stand at another one's places.

    Raises:
        UsageError: it tells other classes apart.
    """
    own, wanted = member.classes or (), told.classes or ()
    if sorted(own) != sorted(wanted):
        classes = f"({', '.join(own)}) than {told.name} ({', '.join(wanted)})"
        raise UsageError(f"{member.name} tells other classes apart {classes}: combine with `voting`")
    if len(set(own)) != width:
        raise UsageError(f"{member.name} has {width} probabilities for {len(set(own))} classes: predict again with it")
    return [own.index(name) for name in wanted]


def _names(members: Sequence[EnsembleMember], log: Float64, told: Sequence[str] | None) -> tuple[str, ...]:
    """The classes by their place: as some member tells them, else from where each member's likeliest one stands."""
    names = list(told or [""] * log.shape[2])
    for member, own in zip(members, log, strict=True):
        if member.classes:
            continue
        for each, place in zip(member.predictions, own.argmax(1).tolist(), strict=True):
            label = each.final
            if names[place] not in ("", label):
                raise UsageError(
                    f"{member.name} calls class {place + 1} {label!r} where another member, or question, calls it "
                    f"{names[place]!r}: the members must have the same classes in the same order (recipe: data.labels)"
                )
            names[place] = label
    return tuple(names)
