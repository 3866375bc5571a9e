"""What an ensemble is worth: its figure beside its members', what each of them adds, and what learning gained.

Everything that is learnt or tuned on validation would flatter the ensemble there. So its figure is cross-fitted: the
questions are halved by chance, weights, temperatures and no-answer threshold are found on one half and judged on the
other, both ways. Source of the scheme: Chernozhukov et al., "Double/debiased machine learning", 2018, section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean

from qakit.ensembling.load import as_shares
from qakit.ensembling.method import Method, learnt_values, without
from qakit.inference.evaluation import Judge, finish
from qakit.inference.threshold import apply_threshold, tune_null_threshold
from qakit.protocols import DrawnMetric, EnsembleMember, PerExampleMetric, Pool
from qakit.randomness import permutation
from qakit.statistics import Column, Difference, Sampling, drawn_columns, mean_columns
from qakit.values import Example, Prediction, SpanPrediction


@dataclass(frozen=True, slots=True)
class Judged:
    """The questions of a validation, and how answers to them are judged; the same answer is looked at once."""

    examples: Sequence[Example]
    judge: Judge
    sampling: Sampling
    seen: dict[tuple[str, str], float] = field(default_factory=dict)
    """The primary figure of answers by question and text."""

    @property
    def figure(self) -> str:
        """The figure that everything is compared by."""
        return self.judge.metric.primary

    def values(self, examples: Sequence[Example], answers: Sequence[str]) -> list[float]:
        """Each question's own primary figure, in percent; for metrics that have one."""
        metric = self.judge.metric
        assert isinstance(metric, PerExampleMetric)
        fresh = {
            (example.id, answer): example
            for example, answer in zip(examples, answers, strict=True)
            if (example.id, answer) not in self.seen
        }
        if fresh:
            found = metric.per_example(list(fresh.values()), [answer for _, answer in fresh])[metric.primary]
            self.seen.update(zip(fresh, found, strict=True))
        return [self.seen[example.id, answer] for example, answer in zip(examples, answers, strict=True)]

    def column(self, predictions: Sequence[Prediction]) -> Column | None:
        """The primary figure, ready for the bootstrap; None for a metric that can do neither."""
        metric, answers = self.judge.metric, [each.final for each in predictions]
        if isinstance(metric, PerExampleMetric):
            return mean_columns({self.figure: self.values(self.examples, answers)})[self.figure]
        if isinstance(metric, DrawnMetric):
            draws = partial(metric.of_draws, self.examples, answers)
            return drawn_columns(draws, len(self.examples), self.sampling)[self.figure]
        return None

    def value(self, predictions: Sequence[Prediction]) -> float:
        """The primary figure alone, without what the bootstrap needs."""
        if isinstance(self.judge.metric, PerExampleMetric):
            return fmean(self.values(self.examples, [each.final for each in predictions]))
        return self.figures(predictions)[self.figure]

    def figures(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        return dict(self.judge.metric.compute(self.examples, predictions))

    @property
    def tunes(self) -> bool:
        """Whether a no-answer threshold is to be found on these questions. A number that a recipe fixes is on the
        scale of its own head, and says nothing of an ensemble's."""
        return self.judge.recipe.predict.no_answer and isinstance(self.judge.metric, PerExampleMetric)

    def threshold(self, combined: Sequence[Prediction], rows: Sequence[int]) -> float:
        """The no-answer threshold that is best for some of the questions."""
        spans = [each for row in rows if isinstance(each := combined[row], SpanPrediction)]
        return tune_null_threshold(spans, [self.examples[row] for row in rows], self.values)[0]


def final_answers(
    combined: Sequence[Prediction], examples: Sequence[Example] | None, judge: Judge | None, threshold: float
) -> list[Prediction]:
    """Decoded predictions with the threshold applied and cleaned up as the judge's recipe says, where there is one."""
    answered = decided(combined, threshold)
    return finish(answered, examples, judge) if judge is not None and examples is not None else answered


def decided(combined: Sequence[Prediction], threshold: float) -> list[Prediction]:
    """Decoded predictions with the threshold applied."""
    answered: list[Prediction] = []
    for each in combined:
        answered.extend(apply_threshold([each], threshold) if isinstance(each, SpanPrediction) else [each])
    return answered


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
