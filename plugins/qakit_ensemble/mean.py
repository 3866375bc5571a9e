"""Mean of class probabilities, of contexts' probabilities, or of numbers."""

from __future__ import annotations

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
    SpanPrediction,
    UsageError,
)
from qakit_ensemble.alignment import as_members, usable_weights
from qakit_ensemble.axis import Float64
from qakit_ensemble.fitting import fit_temperature, greedy_weights, mixture_weights, temperature_rows
from qakit_ensemble.right import NOTHING

LEAST = 1e-12


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
        if kinds == {"numbers"}:
            return Numbers(members, examples)
        return Shares.of(members, examples)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Regression."""

    members: Sequence[EnsembleMember]
    examples: Sequence[Example] | None

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:  # noqa: ARG002
        """The mean of the members' numbers."""
        means = usable_weights(weights, len(self.members)) @ self._values()
        return [
            LabelPrediction(each.id, mean)
            for each, mean in zip(self.members[0].predictions, means.tolist(), strict=True)
        ]

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Weights by greedy selection for the least squared error."""
        examples = self.examples or ()
        targets = {row: examples[row].label for row in rows if examples}
        known = {row: float(target) for row, target in targets.items() if isinstance(target, int | float)}
        if not known:
            raise UsageError(NOTHING)
        values, gold = self._values()[:, list(known)], np.array(list(known.values()))
        weights = greedy_weights(
            len(self.members), lambda counts: float(np.mean((counts @ values / counts.sum() - gold) ** 2))
        )
        return weights, (1.0,) * len(self.members)

    def _values(self) -> Float64:
        """(M, N) the numbers."""
        return np.array([[float(each.final) for each in member.predictions] for member in self.members])


@dataclass(frozen=True, slots=True)
class Shares:
    """Probabilities of N questions' classes, or of their contexts.

    Attributes:
        first: the first member's predictions.
        examples: the questions, where they are known.
        log: (M, N, C) float64, logarithms of the members' probabilities; -inf where a question has fewer contexts.
        names: the classes by their place, "" for one that no member ever predicts; None for contexts.
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
        with np.errstate(divide="ignore"):
            log = np.log(shares)
        first = members[0].predictions
        is_class = bool(first) and isinstance(first[0], LabelPrediction)
        return Shares(first, examples, log, _names(members, log) if is_class else None)

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
    if isinstance(prediction, SpanPrediction):
        raise UsageError(
            f"the prediction for id {prediction.id!r} is an answer; mean is for classes, numbers and contexts: combine "
            "answers with `voting`, `nbest` or `char_average`"
        )
    if isinstance(prediction, LabelPrediction):
        return "classes" if isinstance(prediction.label, str) else "numbers"
    return "contexts"


def _scores(member: EnsembleMember, prediction: Prediction) -> tuple[float, ...]:
    assert not isinstance(prediction, SpanPrediction)
    if not prediction.scores:
        raise UsageError(
            f"{member.name} has no probabilities for id {prediction.id!r}: combine with `voting`, or predict again"
        )
    return prediction.scores


def _names(members: Sequence[EnsembleMember], log: Float64) -> tuple[str, ...]:
    """The classes by their place, from where each member's likeliest one stands."""
    names = [""] * log.shape[2]
    for member, own in zip(members, log, strict=True):
        for each, place in zip(member.predictions, own.argmax(1).tolist(), strict=True):
            label = each.final
            if names[place] not in ("", label):
                raise UsageError(
                    f"{member.name} calls class {place + 1} {label!r} where another member, or question, calls it "
                    f"{names[place]!r}: the members must have the same classes in the same order (recipe: data.labels)"
                )
            names[place] = label
    return tuple(names)
