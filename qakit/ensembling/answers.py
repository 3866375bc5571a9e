"""From combined predictions to final answers: no-answer threshold, clean-up, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean

from qakit.inference.evaluation import Judge, finish
from qakit.inference.threshold import apply_threshold, tune_null_threshold
from qakit.protocols import DrawnMetric, PerExampleMetric
from qakit.statistics import Column, Sampling, drawn_columns, mean_columns
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
        """All figures of the metric."""
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
