"""What ``qakit evaluate`` says: figures with how sure they are, the threshold, and the calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from qakit.statistics import Column, Sampling, drawn_columns, mean_columns

if TYPE_CHECKING:
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
        """Plain values for programs."""
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
    from qakit.inference.evaluation import answers_of, choices_of
    from qakit.protocols import DrawnMetric, PerExampleMetric

    recipe, metric = judge.recipe, judge.metric
    answers, sampling = answers_of(evaluation.predictions), Sampling(RESAMPLES, recipe.seed)
    columns: dict[str, Column] = {}
    if isinstance(metric, PerExampleMetric):
        columns = mean_columns(metric.per_example(examples, answers))
    elif isinstance(metric, DrawnMetric):
        columns = drawn_columns(partial(metric.of_draws, examples, answers), len(examples), sampling)
    has_threshold = recipe.predict.no_answer and bool(evaluation.raw)
    return EvaluationReport(
        evaluation=evaluation,
        intervals={name: column.interval(sampling) for name, column in columns.items()},
        choices=choices_of(evaluation.raw, examples, judge) if has_threshold else None,
        source=("option" if given else _source(recipe)) if has_threshold else None,
    )


def _source(recipe: Recipe) -> Source:
    if recipe.predict.null_threshold != "tune":
        return "recipe"
    return "validation" if recipe.data.validation else "default"
