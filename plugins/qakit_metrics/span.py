"""Metrics for answers as texts. Each also gives every example's own figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qakit.api import (
    ContextPrediction,
    Example,
    Prediction,
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
from qakit_metrics.settings import CmrcSettings, ExactMatchSettings, JaccardSettings, SquadV1Settings, SquadV2Settings


class SquadV1:
    """SQuAD 1.1."""

    def __init__(self, settings: SquadV1Settings) -> None:
        self.primary: str = settings.primary

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``exact_match`` and ``f1`` in percent; a missing prediction scores 0."""
        return squad_v1(examples, _answers(predictions))

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """The same two, for each example."""
        return squad_v1_per_example(examples, answers)


class SquadV2:
    """SQuAD 2.0."""

    def __init__(self, settings: SquadV2Settings) -> None:
        self.primary: str = settings.primary
        self._threshold = settings.no_answer_threshold

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """The official figures in percent; a missing prediction scores 0.

        ``best_*`` are there when every prediction carries its no-answer probability.
        """
        answers = _answers(predictions)
        probabilities = _no_answer_probabilities(predictions)
        return squad_v2(examples, answers, no_answer_probability=probabilities, threshold=self._threshold)

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """``exact`` and ``f1`` for each example, of the answers as they are."""
        return squad_v2_per_example(examples, answers)


class Cmrc2018:
    """CMRC 2018 and DRCD."""

    def __init__(self, settings: CmrcSettings) -> None:
        self.primary: str = settings.primary

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``AVERAGE``, ``F1``, ``EM`` in percent, ``TOTAL`` and ``SKIP``; a missing prediction scores 0."""
        return cmrc2018(examples, _answers(predictions))

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """``EM``, ``F1`` and ``AVERAGE`` for each example."""
        return cmrc2018_per_example(examples, answers)

    def official_format(self, figures: Mapping[str, float]) -> dict[str, int | str]:
        """The official script prints three decimals, as text."""
        return cmrc2018_official_format(figures)


class ExactMatch:
    """Equal texts after the clean-up that the answer key went through."""

    def __init__(self, settings: ExactMatchSettings) -> None:
        self.primary: str = settings.primary
        self._remove = settings.remove_characters
        self._strip = settings.strip

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``exact_match`` and ``f1`` (characters) in percent; a missing prediction scores 0."""
        return text_match(examples, _answers(predictions), remove_characters=self._remove, strip=self._strip)

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """The same two, for each example."""
        return text_match_per_example(examples, answers, remove_characters=self._remove, strip=self._strip)


class Jaccard:
    """Words that answer and gold answer share."""

    def __init__(self, settings: JaccardSettings) -> None:
        self.primary: str = settings.primary

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``jaccard`` and ``exact_match`` in percent; a missing prediction scores 0."""
        answers = _answers(predictions)
        given = [example for example in examples if example.id in answers]
        columns = self.per_example(given, [answers[example.id] for example in given])
        return {name: math.fsum(values) / len(examples) for name, values in columns.items()}

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """The same two, for each example."""
        return jaccard_per_example(examples, answers)


def _answers(predictions: Sequence[Prediction]) -> dict[str, str]:
    answers = {}
    for prediction in predictions:
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
