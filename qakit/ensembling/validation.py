"""What an ensemble is worth: its figure beside its members', what each of them adds, and what learning gained.

Everything that is learnt or tuned on validation would flatter the ensemble there. So its figure is cross-fitted: the
questions are halved by chance, weights, temperatures and no-answer threshold are found on one half and judged on the
other, both ways. Source of the scheme: Chernozhukov et al., "Double/debiased machine learning", 2018, section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from qakit.ensembling.answers import Judged, final_answers
from qakit.ensembling.method import Method, learnt_values, without
from qakit.ensembling.shares import as_shares
from qakit.protocols import EnsembleMember, Pool
from qakit.randomness import permutation
from qakit.statistics import Difference
from qakit.values import Prediction


@dataclass(frozen=True, slots=True)
class Decision:
    """What an ensemble of M members was given or has learnt."""

    weights: tuple[float, ...]
    """(M,) shares of 1."""
    temperatures: tuple[float, ...]
    """(M,)"""
    null_threshold: float = 0.0

    @staticmethod
    def plain(members: int) -> Decision:
        """Equal weights, probabilities as they are."""
        return Decision(as_shares((1.0,) * members), (1.0,) * members)


@dataclass(frozen=True, slots=True)
class Row:
    """A member in the leave-one-out table."""

    name: str
    figure: float
    """Of the member alone, as its run kept it."""
    without: float | None
    """Of the ensemble without it; None where members cannot be left out."""
    adds: Difference | None
    """The ensemble's figure less that; None for metrics without intervals."""


@dataclass(frozen=True, slots=True)
class Validation:
    """An ensemble on validation."""

    figure: str
    """The name of the figure."""
    questions: int
    figures: dict[str, float]
    """All figures of the ensemble, cross-fitted where something was tuned."""
    cross_fitted: bool
    interval: tuple[float, float] | None
    equal: float
    """The figure with equal weights and probabilities as they are, likewise."""
    gain: Difference | None
    """Learnt weights against that; None where none were learnt."""
    seen: float
    """The figure on the very questions that everything was tuned on."""
    best: str
    """The best single member."""
    best_figure: float
    over_best: Difference | None
    rows: tuple[Row, ...]
    predictions: tuple[Prediction, ...]
    """As judged: cross-fitted where something was tuned."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A pool of members with the questions that it is judged on."""

    method: Method
    pool: Pool
    judged: Judged
    n_best: int
    last: dict[tuple[tuple[float, ...], tuple[float, ...]], list[Prediction]] = field(default_factory=dict)
    """What was combined last, by weights and temperatures."""

    @property
    def rows(self) -> range:
        """All questions."""
        return range(len(self.judged.examples))

    @property
    def tunes(self) -> bool:
        """Whether a no-answer threshold is to be found."""
        return self.method.decodes and self.judged.tunes

    def decide(self, rows: Sequence[int]) -> Decision:
        """Weights, temperatures and threshold from some of the questions, as far as they are not given."""
        if self.method.weights is not None:
            return self.with_threshold(replace(Decision.plain(self.method.members), weights=self.method.weights), rows)
        learnt = learnt_values(self.pool.learn(rows), members=self.method.members, name=self.method.name)
        return self.with_threshold(Decision(as_shares(learnt[0]), learnt[1]), rows)

    def with_threshold(self, decision: Decision, rows: Sequence[int]) -> Decision:
        """The decision with the threshold that suits some of the questions."""
        if not self.tunes:
            return decision
        combined = self.combined(decision)
        return replace(decision, null_threshold=self.judged.threshold(combined, rows))

    def combined(self, decision: Decision) -> list[Prediction]:
        """The pool's predictions, without threshold and clean-up. The last ones are remembered."""
        asked = decision.weights, decision.temperatures
        if asked not in self.last:
            self.last.clear()
            self.last[asked] = self.pool.combine(*asked, n_best=self.n_best)
        return self.last[asked]

    def answers(self, decision: Decision) -> list[Prediction]:
        """The final predictions for all questions."""
        combined = self.combined(decision)
        if not self.method.decodes:
            return combined
        return final_answers(combined, self.judged.examples, self.judged.judge, decision.null_threshold)

    def cross_fitted(self, decide: Callable[[Sequence[int]], Decision]) -> list[Prediction]:
        """The questions of each half with what the other half taught."""
        count, found = len(self.rows), dict[int, Prediction]()
        if count < 2:
            return self.answers(decide(self.rows))
        order = permutation(count, self.judged.sampling.seed, 0, stream="ensemble halves").tolist()
        first, second = sorted(order[: count // 2]), sorted(order[count // 2 :])
        for taught, others in ((first, second), (second, first)):
            answers = self.answers(decide(taught))
            found |= {row: answers[row] for row in others}
        return [found[row] for row in self.rows]

    def figure(self, predictions: Sequence[Prediction]) -> float:
        """The figure that everything is compared by."""
        return self.judged.value(predictions)

    def minus(self, first: Sequence[Prediction], second: Sequence[Prediction]) -> Difference | None:
        """How much better the first are, with the interval; None for metrics without."""
        one, other = self.judged.column(first), self.judged.column(second)
        return None if one is None or other is None else one.minus(other, self.judged.sampling)


def validate(bench: Bench, members: Sequence[EnsembleMember], decision: Decision) -> Validation:
    """The figures of an ensemble whose ``decision`` came from all the questions."""
    learnt = bench.method.weights is None
    seen = bench.answers(decision)
    fitted = learnt or bench.tunes
    predictions = bench.cross_fitted(bench.decide) if fitted else seen
    equal, plain = predictions, Decision.plain(bench.method.members)
    if learnt or bench.method.weights != plain.weights:
        equal = bench.cross_fitted(lambda rows: bench.with_threshold(plain, rows))
    singles = [bench.figure(member.predictions) for member in members]
    best = max(range(len(members)), key=lambda number: singles[number])
    column = bench.judged.column(predictions)
    return Validation(
        figure=bench.judged.figure,
        questions=len(bench.rows),
        figures=bench.judged.figures(predictions),
        cross_fitted=fitted,
        interval=None if column is None else column.interval(bench.judged.sampling),
        equal=bench.figure(equal),
        gain=bench.minus(predictions, equal) if learnt else None,
        seen=bench.figure(seen),
        best=members[best].name,
        best_figure=singles[best],
        over_best=bench.minus(predictions, members[best].predictions),
        rows=tuple(_leave_one_out(bench, members, decision, seen, singles)),
        predictions=tuple(predictions),
    )


def _leave_one_out(
    bench: Bench,
    members: Sequence[EnsembleMember],
    decision: Decision,
    whole: Sequence[Prediction],
    singles: Sequence[float],
) -> Iterator[Row]:
    """Without each member in turn; the others keep the shares that they have, and the threshold is tuned anew."""
    # The best candidate is enough, unless clean-up looks at the others.
    bench = replace(bench, n_best=bench.n_best if bench.judged.judge.postprocessors else 1, last={})
    for number, (member, alone) in enumerate(zip(members, singles, strict=True)):
        if not bench.method.leaves_out or len(members) < 2:
            yield Row(member.name, alone, None, None)
            continue
        rest = replace(decision, weights=without(decision.weights, number))
        answers = bench.answers(bench.with_threshold(rest, bench.rows))
        yield Row(member.name, alone, bench.figure(answers), bench.minus(whole, answers))
