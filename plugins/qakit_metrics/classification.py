"""Metrics for classes and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qakit.api import (
    DataError,
    Example,
    Prediction,
    Targets,
    UsageError,
    accuracy,
    confusion,
    f1_by_class,
    matthews,
    pearson,
    quadratic_kappa,
    spearman,
)
from qakit_metrics import ClassF1Settings, CorrelationSettings, GlueMetricSettings

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

MISMATCHED = "mismatched-"
"""What the ids of MNLI's second evaluation set begin with."""


class Accuracy:
    """Share of the right classes."""

    primary: str = "accuracy"

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``accuracy`` in percent; a missing prediction is wrong."""
        values = self.per_example(examples, _answers(examples, predictions))["accuracy"]
        return {"accuracy": math.fsum(values) / len(values)}

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """100 where the class is right, else 0."""
        pairs = zip(_classes(examples), answers, strict=True)
        return {"accuracy": [100.0 if gold == given else 0.0 for gold, given in pairs]}


class MnliAccuracy(Accuracy):
    """MNLI: accuracy in the genres of the training set (matched), in others (mismatched), and over all."""

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``accuracy``, and ``accuracy_matched`` and ``accuracy_mismatched`` of the sets that are there."""
        answers = _answers(examples, predictions)
        figures = {}
        for name, wanted in (("matched", False), ("mismatched", True)):
            rows = [row for row, example in enumerate(examples) if example.id.startswith(MISMATCHED) is wanted]
            if rows:
                values = self.per_example([examples[row] for row in rows], [answers[row] for row in rows])["accuracy"]
                figures[f"accuracy_{name}"] = math.fsum(values) / len(values)
        return super().compute(examples, predictions) | figures


@dataclass(frozen=True, slots=True)
class Drawn:
    """Figures that are no means over examples: those of all examples, and of many draws from them at once."""

    primary: str
    draws: Callable[[Sequence[Example], Sequence[str], Float64], dict[str, Float64]]

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Each times 100; a missing prediction counts as a class of its own, which is wrong.

        Raises:
            DataError: a number is wanted where a prediction is missing or no number.
        """
        found = self.draws(examples, _answers(examples, predictions), np.ones((1, len(examples))))
        return {name: float(values[0]) for name, values in found.items()}

    def of_draws(self, examples: Sequence[Example], answers: Sequence[str], counts: Float64) -> dict[str, Float64]:
        """The same, of each draw."""
        return self.draws(examples, answers, counts)


def build_matthews() -> Drawn:
    """Matthews' correlation between given and gold classes, and their accuracy."""
    return Drawn("matthews", _matthews)


def build_kappa() -> Drawn:
    """Cohen's kappa with quadratic weights, for grades: a class that is no number is an error; and their accuracy."""
    return Drawn("quadratic_kappa", _kappa)


def build_f1(settings: ClassF1Settings) -> Drawn:
    """Accuracy, F1, and their mean."""
    return Drawn(settings.primary, partial(_f1, settings.positive))


def build_correlations(settings: CorrelationSettings) -> Drawn:
    """Pearson's and Spearman's correlation between given and gold numbers, and their mean."""
    return Drawn(settings.primary, _correlations)


def build_glue(settings: GlueMetricSettings) -> Accuracy | Drawn:
    """The official metric of one of the ten tasks."""
    if settings.task in ("CoLA", "AX"):
        return build_matthews()
    if settings.task in ("MRPC", "QQP"):
        return build_f1(ClassF1Settings(positive="1"))
    if settings.task == "STS-B":
        return build_correlations(CorrelationSettings())
    return MnliAccuracy() if settings.task == "MNLI" else Accuracy()


def _matthews(examples: Sequence[Example], answers: Sequence[str], counts: Float64) -> dict[str, Float64]:
    gold, given, names = _codes(examples, answers)
    table = confusion(gold, given, counts, classes=len(names))
    return {"matthews": 100 * matthews(table), "accuracy": 100 * accuracy(gold == given, counts)}


def _kappa(examples: Sequence[Example], answers: Sequence[str], counts: Float64) -> dict[str, Float64]:
    gold, given, names = _codes(examples, answers)
    grades = np.array([_grade(name) for name in names])
    kappa = quadratic_kappa(confusion(gold, given, counts, classes=len(names)), grades)
    return {"quadratic_kappa": 100 * kappa, "accuracy": 100 * accuracy(gold == given, counts)}


def _f1(
    positive: str | None, examples: Sequence[Example], answers: Sequence[str], counts: Float64
) -> dict[str, Float64]:
    gold, given, names = _codes(examples, answers)
    table = confusion(gold, given, counts, classes=len(names))
    by_class = f1_by_class(table)
    if positive is None:
        known = table.sum(1) + table.sum(2) > 0  # classes that are neither gold nor given have no F1
        f1 = by_class.sum(1) / known.sum(1)
    else:
        f1 = by_class[:, names.index(positive)] if positive in names else np.zeros(len(counts))
    share = accuracy(gold == given, counts)
    return {"accuracy": 100 * share, "f1": 100 * f1, "accuracy_f1": 50 * (share + f1)}


def _correlations(examples: Sequence[Example], answers: Sequence[str], counts: Float64) -> dict[str, Float64]:
    gold = np.array([_number(example) for example in examples])
    given = np.array([_given(example, answer) for example, answer in zip(examples, answers, strict=True)])
    linear, by_rank = pearson(gold, given, counts), spearman(gold, given, counts)
    return {"pearson": 100 * linear, "spearman": 100 * by_rank, "pearson_spearman": 50 * (linear + by_rank)}


def _answers(examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[str]:
    """The given class or number of each example; "" where it is missing."""
    given = {prediction.id: prediction.final for prediction in predictions}
    return [given.get(example.id, "") for example in examples]


def _classes(examples: Sequence[Example]) -> list[str]:
    classes = []
    for example in examples:
        if not isinstance(example.label, str):
            what = "has no label" if example.label is None else f"is labelled with the number {example.label}"
            if isinstance(example.label, Targets):
                what = f"has {len(example.label)} numbers"
            raise UsageError(f"this metric compares classes, but the example {example.id!r} {what}")
        classes.append(example.label)
    return classes


def _codes(examples: Sequence[Example], answers: Sequence[str]) -> tuple[Int64, Int64, list[str]]:
    """Gold and given classes (N,) as places in a list of all of them."""
    gold = _classes(examples)
    names = sorted({*gold, *answers})
    places: Mapping[str, int] = {name: place for place, name in enumerate(names)}
    return np.array([places[name] for name in gold]), np.array([places[name] for name in answers]), names


def number_in(answer: str) -> float:
    """The number that an answer is; NaN where it is none."""
    try:
        return float(answer)
    except ValueError:
        return math.nan


def _grade(name: str) -> float:
    grade = number_in(name)
    if not math.isfinite(grade):
        what = f"the class {name[:40]!r} is no number, so its distance to the others is not known" if name else ""
        raise DataError(what or "there is no prediction for an example")
    return grade


def _number(example: Example) -> float:
    if example.label is None or isinstance(example.label, str):
        what = "has no label" if example.label is None else f"is labelled with the class {example.label!r}"
        raise UsageError(f"this metric compares numbers, but the example {example.id!r} {what}")
    if isinstance(example.label, Targets):
        message = f"this metric compares single numbers, but the example {example.id!r} has {len(example.label)}"
        raise UsageError(f"{message}: columnwise_spearman and its like are for several")
    return float(example.label)


def _given(example: Example, answer: str) -> float:
    value = number_in(answer)
    if not math.isfinite(value):
        what = f"the prediction {answer[:40]!r} is not a number" if answer else "there is no prediction"
        raise DataError(what, row=f"id {example.id}")
    return value
