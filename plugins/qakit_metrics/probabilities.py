"""Metrics for the probabilities of classes: logarithmic loss, area under the ROC curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.api import DataError, Example, LabelPrediction, Prediction, UsageError
from qakit_metrics import ProbabilitySettings

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClassProbabilities:
    """Figures of what the predictions think of each class.

    ``figures`` gets the gold classes (N,) as numbers and the probabilities (N, C).
    """

    primary: str
    labels: tuple[str, ...]
    """The classes in the order of the probabilities; empty: sorted, as they are without ``data.labels``."""
    figures: Callable[[Int64, Float64], dict[str, float]]

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """The figures.

        Raises:
            DataError: an example has no prediction.
            UsageError: predictions have no probabilities, or it is not known of which classes they are.
        """
        given = {prediction.id: prediction for prediction in predictions}
        judged = [_judged(given.get(example.id), example) for example in examples]
        names = self.labels or tuple(sorted({*map(_gold, examples), *(str(each.label) for each in judged)}))
        for each in judged:
            self._check(each, names)
        places: Mapping[str, int] = {name: place for place, name in enumerate(names)}
        unknown = next((name for example in examples if (name := _gold(example)) not in places), None)
        if unknown is not None:
            raise UsageError(f"an example has the class {unknown!r}, which is not among the metric's `labels`")
        gold = np.array([places[_gold(example)] for example in examples])
        return self.figures(gold, np.array([each.scores for each in judged]))

    def _check(self, prediction: LabelPrediction, names: Sequence[str]) -> None:
        """Make sure that the names are those of the probabilities."""
        advice = "name all classes with the metric's `labels`, in the order of `data.labels` (else sorted)"
        if len(prediction.scores) != len(names):
            what = (
                f"the predictions have {len(prediction.scores)} probabilities each, and {len(names)} classes are known"
            )
            raise UsageError(f"{what}: {advice}")
        likeliest = [
            name for name, share in zip(names, prediction.scores, strict=True) if share == max(prediction.scores)
        ]
        if str(prediction.label) not in likeliest:
            what = (
                f"the example {prediction.id!r} is predicted as {prediction.label!r}, but {likeliest[0]!r} is likelier"
            )
            raise UsageError(f"{what}: {advice}")


def build_log_loss(settings: ProbabilitySettings) -> ClassProbabilities:
    """``log_loss``, and its negative, which is larger for better predictions."""
    return ClassProbabilities("negative_log_loss", tuple(settings.labels or ()), _log_loss)


def build_auc(settings: ProbabilitySettings) -> ClassProbabilities:
    """The area under the ROC curve, in percent; of more than two classes the mean of each against the rest."""
    return ClassProbabilities("auc", tuple(settings.labels or ()), _auc)


def _log_loss(gold: Int64, probabilities: Float64) -> dict[str, float]:
    """Mean of -ln P(gold class); probabilities are summed up to 1 and kept from 0, as scikit-learn does."""
    smallest = np.finfo(np.float64).eps
    shares = probabilities / probabilities.sum(1, keepdims=True)
    right = np.clip(shares[np.arange(len(gold)), gold], smallest, 1 - smallest)
    loss = float(-np.log(right).mean())
    return {"negative_log_loss": -loss, "log_loss": loss}


def _auc(gold: Int64, probabilities: Float64) -> dict[str, float]:
    """Of two classes that of the second; classes that no example, or every example has, have none."""
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    found = [area for each in classes if (area := auc_of(gold == each, probabilities[:, each])) is not None]
    return {"auc": 100 * sum(found) / len(found) if found else 0.0}


def auc_of(positive: NDArray[np.bool_], scores: Float64) -> float | None:
    """How often a positive example has a higher score than a negative one (ties count half); None without either.

    Source: Hanley and McNeil 1982, "The meaning and use of the area under a receiver operating characteristic curve".
    """
    from scipy.stats import rankdata

    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return None
    return float((rankdata(scores)[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _judged(prediction: Prediction | None, example: Example) -> LabelPrediction:
    if prediction is None:
        raise DataError("there is no prediction", row=f"id {example.id}")
    if not isinstance(prediction, LabelPrediction) or not prediction.scores:
        raise UsageError(
            f"this metric scores the probabilities of classes, but the prediction for id {example.id!r} has none: "
            "a classifier's own predictions have them, files of answers do not"
        )
    return prediction


def _gold(example: Example) -> str:
    if not isinstance(example.label, str):
        what = "has no label" if example.label is None else f"is labelled with the number {example.label}"
        raise UsageError(f"this metric compares classes, but the example {example.id!r} {what}")
    return example.label
