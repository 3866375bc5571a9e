"""Questions with the answers of a run as they were before clean-up, and what clean-up is worth on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qakit.errors import UsageError
from qakit.inference.evaluation import Judge
from qakit.protocols import PerExampleMetric
from qakit.report.postprocess_steps import Step
from qakit.statistics import Difference, Sampling, interval, paired, sign_flips
from qakit.values import Example, SpanPrediction


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over questions with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What clean-up is worth on some questions."""

    questions: int
    raw: Figure
    """Without any clean-up."""
    own: Figure
    """With the recipe's own steps."""
    found: Figure
    """With the steps that were found."""
    over_raw: Difference
    over_own: Difference


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions with their answers before clean-up."""

    examples: Sequence[Example]
    raw: Sequence[SpanPrediction]
    judge: Judge
    sampling: Sampling

    def after(self, chain: Sequence[Step], predictions: Sequence[SpanPrediction] | None = None) -> list[SpanPrediction]:
        """The answers after some steps."""
        found = list(self.raw if predictions is None else predictions)
        for step in chain:
            found = step.apply(found, self.examples, self.judge)
        return found

    def figures(self, predictions: Sequence[SpanPrediction]) -> list[float]:
        """Each question's own figure."""
        metric = self.judge.metric
        assert isinstance(metric, PerExampleMetric)
        return list(metric.per_example(self.examples, [each.answer for each in predictions])[metric.primary])

    def minus(self, first: Sequence[float], second: Sequence[float]) -> Difference:
        """How much better the first are."""
        return paired(first, second, seed=self.sampling.seed, resamples=self.sampling.resamples)

    def chance(self, first: Sequence[float], second: Sequence[float]) -> float:
        """The two-sided p-value that the first are no better or worse."""
        return sign_flips(first, second, seed=self.sampling.seed, draws=self.sampling.resamples)

    def judged(self, chain: Sequence[Step], own: Sequence[Step]) -> Judgement:
        """Nothing, the recipe's own steps and the found ones on these questions."""
        raw, theirs, found = (self.figures(self.after(steps)) for steps in ((), own, chain))
        return Judgement(
            questions=len(raw),
            raw=self._mean(raw),
            own=self._mean(theirs),
            found=self._mean(found),
            over_raw=self.minus(found, raw),
            over_own=self.minus(found, theirs),
        )

    def _mean(self, values: Sequence[float]) -> Figure:
        ends = interval(values, seed=self.sampling.seed, resamples=self.sampling.resamples)
        return Figure(sum(values) / len(values), *ends)


def without_clean_up(prediction: Any, judge: Judge) -> SpanPrediction:
    """The prediction as it was before its run's own clean-up, which leaves candidates alone.

    Raises:
        UsageError: it is a class, a number or a context.
    """
    if not isinstance(prediction, SpanPrediction):
        raise UsageError("this run predicts classes or contexts; clean-up is for answers")
    refused = judge.recipe.predict.no_answer and not prediction.answer
    if refused or prediction.best is None or not judge.recipe.postprocess:
        return prediction
    return prediction.with_answer(prediction.best.text)
