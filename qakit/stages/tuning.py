"""One answer from what the two stages say, and what of it is tuned: log P(span | context) + weight x log P(context).

P(span | context) is the span stage's softmax over the spans of that context and, where questions may have no answer,
"no answer in this context". With weight 1 the sum is the chain rule's log P(context, span); other weights correct for
one stage being surer of itself than the other. Source: the interpolation of retriever and reader, Yang et al. 2019,
"End-to-End Open-Domain Question Answering with BERTserini", section 3.2, on probabilities instead of raw scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from qakit.errors import RunError
from qakit.inference.calibration import (
    Calibration,
    Options,
    calibration_of,
    exactly_right,
    fit_temperature,
    right_options,
)
from qakit.inference.evaluation import (
    Evaluation,
    Judge,
    best_null_threshold,
    figures_by_question,
    finish,
    fixed_threshold,
)
from qakit.inference.threshold import apply_threshold
from qakit.numbers import finite
from qakit.stages.model import CombineSection
from qakit.values import Candidate, Example, NoAnswer, SpanPrediction

Weight = float | Literal["argmax"]

LEAST = 1e-12
"""Probabilities of contexts count as at least this: even the surest selection can be overruled by a finite weight."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the span stage found in one context of a question."""

    context: int
    """Its index in the example."""
    probability: float
    """Of the context, as the selection stage says."""
    spans: tuple[Candidate, ...]
    """Best first; their scores are log P(span | context), their contexts those of the example."""
    null: float | None
    """log P("no answer" | context); None where every question has an answer."""

    @staticmethod
    def of(prediction: SpanPrediction, *, context: int, probability: float, temperature: float) -> Reading:
        """From the span stage's prediction for the question with this context alone."""
        scores = [candidate.score / temperature for candidate in prediction.candidates]
        null = None if prediction.null is None else prediction.null.score / temperature
        total = log_sum(scores if null is None else [*scores, null])
        spans = (
            replace(candidate, context=context, score=score - total)
            for candidate, score in zip(prediction.candidates, scores, strict=True)
        )
        return Reading(context, probability, tuple(spans), None if null is None else null - total)


def combined(
    example_id: str, readings: Sequence[Reading], *, weight: Weight, n_best: int, temperature: float = 1.0
) -> SpanPrediction:
    """The best spans of all readings by the combined score, whatever the no-answer threshold.

    A text keeps its best place. "No answer" is the sum of the probabilities that a context was the one to read and had
    none. Probabilities are a softmax over the kept candidates and "no answer".
    """
    if weight == "argmax":
        readings, factor = [max(readings, key=lambda reading: reading.probability)] if readings else [], 0.0
    else:
        factor = float(weight)
    found: dict[str, Candidate] = {}
    nulls = []
    for reading in readings:
        prior = factor * math.log(max(reading.probability, LEAST))
        if reading.null is not None:
            nulls.append(reading.null + prior)
        for span in reading.spans:
            score = span.score + prior
            known = found.get(span.text)
            if known is None or score > known.score:
                found[span.text] = replace(span, score=score)
    best = sorted(found.values(), key=lambda span: -span.score)[:n_best]
    null = log_sum(nulls) if nulls else None
    scores = [span.score / temperature for span in best]
    total = log_sum(scores if null is None else [*scores, null / temperature])
    kept = tuple(replace(span, probability=math.exp(score - total)) for span, score in zip(best, scores, strict=True))
    option = None if null is None else NoAnswer(null, math.exp(null / temperature - total))
    return SpanPrediction(example_id, kept[0].text if kept else "", kept, option)


def log_sum(values: Iterable[float]) -> float:
    """log of the sum of exponentials; -inf of nothing."""
    values = list(values)
    largest = max(values, default=-math.inf)
    if math.isinf(largest):
        return largest
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))


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
    fixed = fixed_threshold(judge.recipe)
    if fixed is not None:
        return fixed
    return best_null_threshold(raw_answers(readings, examples, Decision(weight), n_best=1), examples, judge)


def _temperature(raw: Sequence[SpanPrediction], examples: Sequence[Example], judge: Judge) -> float:
    score = figures_by_question(judge)
    if score is None:
        return 1.0
    options = Options.of(raw)
    return fit_temperature(options, right_options(raw, examples, options, score))
