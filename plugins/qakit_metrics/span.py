"""Metrics for answers as texts. Each also gives every example's own figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qakit.api import (
    ContextPrediction,
    Example,
    Prediction,
    SetPrediction,
    SpanPrediction,
    UsageError,
    cmrc2018,
    cmrc2018_official_format,
    cmrc2018_per_example,
    jaccard_per_example,
    squad_v1,
    squad_v1_per_example,
    squad_v2,
    squad_v2_per_example,
    text_match,
    text_match_per_example,
)
from qakit_metrics import CmrcSettings, ExactMatchSettings, JaccardSettings, SquadV1Settings, SquadV2Settings


@dataclass(frozen=True, slots=True)
class TextMetric:
    """Figures of all answers, in percent, and of single ones; a missing prediction scores 0."""

    primary: str
    figures: Callable[[Sequence[Example], Mapping[str, str]], dict[str, float]]
    single: Callable[[Sequence[Example], Sequence[str]], dict[str, list[float]]]

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """The figures of all answers."""
        return self.figures(examples, _answers(predictions))

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """Those of each example."""
        return self.single(examples, answers)


def build_squad_v1(settings: SquadV1Settings) -> TextMetric:
    """SQuAD 1.1: ``exact_match`` and ``f1``."""
    return TextMetric(settings.primary, squad_v1, squad_v1_per_example)


class SquadV2:
    def __init__(self, settings: SquadV2Settings) -> None:
        self.primary: str = settings.primary
        self._threshold = settings.no_answer_threshold
        self._raw = settings.raw or settings.primary == "raw_exact"

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """The official figures in percent; a missing prediction scores 0.

        ``best_*`` are there when every prediction carries its no-answer probability.
        """
        answers, probabilities = _answers(predictions), _no_answer_probabilities(predictions)
        figures = squad_v2(examples, answers, no_answer_probability=probabilities, threshold=self._threshold)
        if self._raw:
            silent = {id_ for id_, probability in (probabilities or {}).items() if probability > self._threshold}
            final = answers | dict.fromkeys(silent, "")
            equal = [_equals_gold(example, final[example.id]) for example in examples if example.id in final]
            figures["raw_exact"] = math.fsum(equal) / len(examples)
        return figures

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """``exact`` and ``f1`` for each example, of the answers as they are; ``raw_exact`` where it is asked for."""
        columns = squad_v2_per_example(examples, answers)
        if self._raw:
            columns["raw_exact"] = [_equals_gold(*pair) for pair in zip(examples, answers, strict=True)]
        return columns


class Cmrc2018(TextMetric):
    """CMRC 2018 and DRCD: ``AVERAGE``, ``F1``, ``EM``, and the counts ``TOTAL`` and ``SKIP``."""

    def official_format(self, figures: Mapping[str, float]) -> dict[str, int | str]:
        """The official script prints three decimals, as text."""
        return cmrc2018_official_format(figures)


def build_cmrc2018(settings: CmrcSettings) -> Cmrc2018:
    return Cmrc2018(settings.primary, cmrc2018, cmrc2018_per_example)


def build_exact_match(settings: ExactMatchSettings) -> TextMetric:
    """``exact_match`` and ``f1`` (characters), after the clean-up that the answer key went through."""
    cleaned: Any = {"remove_characters": settings.remove_characters, "strip": settings.strip}
    return TextMetric(settings.primary, partial(text_match, **cleaned), partial(text_match_per_example, **cleaned))


def build_jaccard(settings: JaccardSettings) -> TextMetric:
    """Words that answer and gold answer share: ``jaccard`` and ``exact_match``."""
    return TextMetric(settings.primary, _jaccard, jaccard_per_example)


def _jaccard(examples: Sequence[Example], answers: Mapping[str, str]) -> dict[str, float]:
    given = [example for example in examples if example.id in answers]
    columns = jaccard_per_example(given, [answers[example.id] for example in given])
    return {name: math.fsum(values) / len(examples) for name, values in columns.items()}


def _equals_gold(example: Example, answer: str) -> float:
    """100.0 if the answer is a gold one to the character, "" where there is none; else 0.0."""
    return 100.0 * (answer in ({gold.text for gold in example.answers or ()} or {""}))


def _answers(predictions: Sequence[Prediction]) -> dict[str, str]:
    answers = {}
    for prediction in predictions:
        if isinstance(prediction, SetPrediction):
            raise UsageError(
                f"this metric scores single answers, but the prediction for id {prediction.id!r} is all answers "
                "together; name a metric for these (metric: multi_span)"
            )
        if not isinstance(prediction, SpanPrediction):
            raise UsageError(
                f"this metric scores answer texts, but the prediction for id {prediction.id!r} is "
                + (
                    "a context; name a metric for contexts (metric: selection)"
                    if isinstance(prediction, ContextPrediction)
                    else "a class or a number; name a metric for classification"
                )
            )
        answers[prediction.id] = prediction.answer
    return answers


def _no_answer_probabilities(predictions: Sequence[Prediction]) -> dict[str, float] | None:
    known = {p.id: p.null.probability for p in predictions if isinstance(p, SpanPrediction) and p.null is not None}
    return known if known and len(known) == len(predictions) else None
