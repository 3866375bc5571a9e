"""The weight of the selection, and what hangs on it, from labelled questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qakit.errors import RunError
from qakit.inference.calibration import (
    Calibration,
    Options,
    calibration_of,
    exactly_right,
    fit_temperature,
    right_options,
)
from qakit.inference.evaluation import Evaluation, Judge, figures_by_question, finish, fixed_threshold
from qakit.inference.threshold import apply_threshold, tune_null_threshold
from qakit.numbers import finite
from qakit.stages.combine import Reading, Weight, combined
from qakit.stages.model import CombineSection
from qakit.values import Example, SpanPrediction

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS: tuple[Weight, ...] = (1.0, 0.7, 1.5, 0.5, 2.0, 0.3, 3.0, 0.2, 5.0, 0.1, 10.0, 0.0, "argmax")
"""Those that are tried, the plainest first: of equally good ones the first is taken."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What turns the stages' scores into answers."""

    weight: Weight = 1.0
    null_threshold: float = 0.0
    """In combined scores."""
    temperature: float = 1.0

    @staticmethod
    def read(values: Mapping[str, Any], place: str) -> Decision:
        """From combine.json.

        Raises:
            RunError: it is damaged.
        """
        weight, threshold, temperature = (values.get(name) for name in ("weight", "null_threshold", "temperature"))
        try:
            decision = Decision(
                "argmax" if weight == "argmax" else finite(weight), finite(threshold), finite(temperature)
            )
            if decision.temperature <= 0 or (decision.weight != "argmax" and decision.weight < 0):
                raise ValueError("weight must be at least 0, temperature above 0")
        except ValueError as error:
            raise RunError(f"{place} is damaged: weight, null_threshold or temperature: {error}") from None
        return decision


@dataclass(frozen=True, slots=True)
class Tuned:
    """A decision, and what the others would have given."""

    decision: Decision
    tried: tuple[tuple[Weight, float], ...]
    """Weights with the figure that chose; empty where the recipe fixes the weight."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        tried = [{"weight": weight, "figure": figure} for weight, figure in self.tried]
        return {**asdict(self.decision), "tried": tried}


def raw_answers(
    readings: Sequence[Sequence[Reading]], examples: Sequence[Example], decision: Decision, *, n_best: int
) -> list[SpanPrediction]:
    """One prediction per example before clean-up."""
    raw = [
        combined(example.id, own, weight=decision.weight, n_best=n_best, temperature=decision.temperature)
        for example, own in zip(examples, readings, strict=True)
    ]
    return apply_threshold(raw, decision.null_threshold)


def tune(
    readings: Sequence[Sequence[Reading]], examples: Sequence[Example], judge: Judge, combine: CombineSection
) -> Tuned:
    """The weight with the best figure of final answers, its threshold, and the temperature.

    All of it is chosen on the same questions, so their figure is a little too good.
    """
    weights = WEIGHTS if combine.weight == "tune" else (combine.weight,)
    tried: list[tuple[float, Decision]] = []
    for weight in weights:
        decision = Decision(weight, _threshold(readings, examples, judge, weight))
        final = finish(raw_answers(readings, examples, decision, n_best=1), examples, judge)
        tried.append((float(judge.metric.compute(examples, final)[judge.selected_by]), decision))
    best = max(range(len(tried)), key=lambda number: (tried[number][0], -number))
    decision = tried[best][1]
    raw = raw_answers(readings, examples, decision, n_best=judge.recipe.predict.n_best)
    found = tuple((each.weight, figure) for figure, each in tried) if len(tried) > 1 else ()
    return Tuned(Decision(decision.weight, decision.null_threshold, _temperature(raw, examples, judge)), found)


def judged(
    readings: Sequence[Sequence[Reading]], examples: Sequence[Example], judge: Judge, decision: Decision
) -> Evaluation:
    """Figures and answers with a decision."""
    raw = raw_answers(readings, examples, decision, n_best=judge.recipe.predict.n_best)
    final = finish(raw, examples, judge)
    score = figures_by_question(judge)
    calibration: Calibration | None = None
    if score is not None:
        calibration = calibration_of(Options.of(raw), exactly_right(raw, examples, score), decision.temperature)
    figures = dict(judge.metric.compute(examples, final))
    return Evaluation(figures, tuple(final), tuple(raw), decision.null_threshold, decision.temperature, calibration)


def _threshold(
    readings: Sequence[Sequence[Reading]], examples: Sequence[Example], judge: Judge, weight: Weight
) -> float:
    fixed, score = fixed_threshold(judge.recipe), figures_by_question(judge)
    if fixed is not None or score is None:
        return fixed or 0.0
    raw = raw_answers(readings, examples, Decision(weight), n_best=1)
    return tune_null_threshold(raw, examples, score)[0]


def _temperature(raw: Sequence[SpanPrediction], examples: Sequence[Example], judge: Judge) -> float:
    score = figures_by_question(judge)
    if score is None:
        return 1.0
    options = Options.of(raw)
    return fit_temperature(options, right_options(raw, examples, options, score))
