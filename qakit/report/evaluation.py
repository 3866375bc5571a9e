"""What ``qakit evaluate`` says: how sure figures are, the threshold, the calibration, and where the rest is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from qakit.statistics import Column, Sampling, drawn_columns, interval, mean_columns, paired

if TYPE_CHECKING:
    from qakit.inference.answering import Examined
    from qakit.inference.error_analysis import ErrorReason
    from qakit.inference.evaluation import Evaluation, Judge
    from qakit.inference.threshold import Choices
    from qakit.recipe.model import Recipe
    from qakit.values import Example


RESAMPLES = 1000

Source = Literal["option", "validation", "recipe", "default"]
"""Where a threshold comes from: given on the command line, tuned in training, fixed in the recipe, or none of these."""


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """An evaluation, ready to be shown; see :meth:`as_json` for its parts."""

    evaluation: Evaluation
    intervals: dict[str, tuple[float, float]]
    """95% bootstrap interval of each figure that the metric gives by question or by draw, in percent."""
    choices: Choices | None
    """What other thresholds would give; None without "no answer" or without figures by question."""
    source: Source | None
    """Where the threshold comes from; None without "no answer", and where finished answers are combined."""

    @property
    def oracle(self) -> dict[str, dict[str, float]] | None:
        """The best value of each figure over all thresholds, chosen on the evaluated questions themselves."""
        if self.choices is None:
            return None
        best = {name: self.choices.best(name) for name in self.choices.answered}
        return {name: {"value": value, "threshold": threshold} for name, (threshold, value) in best.items()}

    def as_json(self) -> dict[str, Any]:
        evaluation = self.evaluation
        threshold = None
        if self.source is not None:
            answered = sum(bool(each.answer) for each in evaluation.raw)
            threshold = {"value": evaluation.null_threshold, "source": self.source, "answered": answered}
        return {
            "figures": evaluation.figures,
            "questions": len(evaluation.predictions),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "threshold": threshold,
            "oracle": self.oracle,
            "calibration": None if evaluation.calibration is None else asdict(evaluation.calibration),
        }


def report_of(
    evaluation: Evaluation, examples: Sequence[Example], judge: Judge, *, given: bool = False
) -> EvaluationReport:
    """The report on an evaluation; ``given``: its threshold was chosen by hand.

    Questions are resampled by the recipe's seed, so the intervals are the same every time.
    """
    from qakit.inference.evaluation import choices_of

    recipe, sampling = judge.recipe, Sampling(RESAMPLES, judge.recipe.seed)
    columns = columns_of(evaluation, examples, judge, sampling)
    has_threshold = recipe.predict.no_answer and bool(evaluation.raw)
    return EvaluationReport(
        evaluation=evaluation,
        intervals={name: column.interval(sampling) for name, column in columns.items()},
        choices=choices_of(evaluation.raw, examples, judge) if has_threshold else None,
        source=("option" if given else _source(recipe)) if has_threshold else None,
    )


def columns_of(
    evaluation: Evaluation, examples: Sequence[Example], judge: Judge, sampling: Sampling
) -> dict[str, Column]:
    """Those figures that the metric gives by question or by draw, ready for intervals and differences."""
    from qakit.inference.evaluation import answers_of
    from qakit.protocols import DrawnMetric, PerExampleMetric

    answers = answers_of(evaluation.predictions)
    if isinstance(judge.metric, PerExampleMetric):
        return mean_columns(judge.metric.per_example(examples, answers))
    if isinstance(judge.metric, DrawnMetric):
        return drawn_columns(partial(judge.metric.of_draws, examples, answers), len(examples), sampling)
    return {}


def _source(recipe: Recipe) -> Source:
    if recipe.predict.null_threshold != "tune":
        return "recipe"
    return "validation" if recipe.data.validation else "default"


@dataclass(frozen=True, slots=True)
class Share:
    """A share of questions, in percent, with its 95% bootstrap interval."""

    value: float
    low: float
    high: float
    questions: int
    """Those that it is a share of."""

    @staticmethod
    def of(hits: Sequence[bool | None], *, seed: int) -> Share | None:
        """Of those that are not None; None where all are."""
        values = [100.0 * hit for hit in hits if hit is not None]
        if not values:
            return None
        low, high = interval(values, seed=seed, resamples=RESAMPLES)
        return Share(sum(values) / len(values), low, high, len(values))

    def as_json(self) -> dict[str, Any]:
        return {"value": self.value, "interval": [self.low, self.high], "questions": self.questions}


@dataclass(frozen=True, slots=True)
class StageShares:
    """How a pipeline's stages did."""

    selection: Share
    """The relevant context is the likeliest one."""
    passed_on: Share
    """It is among the ``top_k`` that were passed on."""
    span: Share
    """Exactly right when reading the relevant context alone."""
    top_1: Share
    """Exactly right when reading the likeliest context alone."""
    gain: float
    """Exactly right of the combination less ``top_1``."""
    gain_low: float
    gain_high: float
    top_k: int

    @property
    def product(self) -> float:
        """Selection accuracy x span exact match: what to expect if one stage's mistakes told nothing of the other's."""
        return self.selection.value * self.span.value / 100.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an examination comes to."""

    exact: Share
    stages: StageShares | None
    errors: Mapping[ErrorReason, int]
    """Wrong questions by their reason; the sum is all wrong ones."""
    gained: int
    questions: int

    def as_json(self) -> dict[str, Any]:
        stages = self.stages
        return {
            "questions": self.questions,
            "exact": self.exact.as_json(),
            "stages": None
            if stages is None
            else {
                "selection": stages.selection.as_json(),
                "passed_on": stages.passed_on.as_json() | {"top_k": stages.top_k},
                "span_given_right": stages.span.as_json(),
                "product": stages.product,
                "top_1": stages.top_1.as_json(),
                "gain_over_top_1": {"value": stages.gain, "interval": [stages.gain_low, stages.gain_high]},
            },
            "errors": dict(self.errors),
            "wrong": sum(self.errors.values()),
            "gained_by_cleanup": self.gained,
        }


def expectation_of(examined: Examined, *, seed: int, top_k: int = 0) -> Expectation:
    """The shares and their intervals; the same every time for the same seed.

    Args:
        top_k: of a pipeline.
    """
    errors, stages = examined.errors, examined.stages
    exact = Share.of(errors.right, seed=seed)
    assert exact is not None
    shares = None
    if stages is not None:
        found = [Share.of(each, seed=seed) for each in (stages.selected, stages.passed_on, stages.span_right)]
        top_1 = Share.of(stages.top_1_right, seed=seed)
        if top_1 is not None and all(found):
            gain = paired(
                [100.0 * each for each in errors.right],
                [100.0 * each for each in stages.top_1_right],
                seed=seed,
                resamples=RESAMPLES,
            )
            selection, passed_on, span = found
            assert selection is not None and passed_on is not None and span is not None
            shares = StageShares(selection, passed_on, span, top_1, gain.mean, gain.low, gain.high, top_k)
    return Expectation(exact, shares, errors.counts, errors.gained, len(errors.right))
