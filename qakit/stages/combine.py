"""One answer from what the two stages say: log P(span | context) + weight x log P(context).

P(span | context) is the span stage's softmax over the spans of that context and, where questions may have no answer,
"no answer in this context". With weight 1 the sum is the chain rule's log P(context, span); other weights correct for
one stage being surer of itself than the other. Source: the interpolation of retriever and reader, Yang et al. 2019,
"End-to-End Open-Domain Question Answering with BERTserini", section 3.2, on probabilities instead of raw scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from qakit.values import Candidate, NoAnswer, SpanPrediction

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
