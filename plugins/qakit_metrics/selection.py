"""The metric for choosing a context."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qakit.api import ContextPrediction, Example, Prediction, UsageError
from qakit_metrics import SelectionSettings


class Selection:
    """How often, and how far up, the context with the answer is.

    An example's relevant context is the one that the file names, else that of its first placed answer; examples of
    which it is not known don't count.
    """

    def __init__(self, settings: SelectionSettings) -> None:
        self.primary: str = settings.primary
        self._ranks = settings.ranks

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``accuracy``, ``mrr`` (mean reciprocal rank) and ``recall_at_K`` for K = 2 to ``ranks``, in percent.

        A missing prediction is wrong at every rank; contexts with equal scores share the worse rank.
        """
        given = {each.id: each for each in predictions}
        ranks = [_rank(relevant, given.get(example.id)) for example, relevant in _judged(examples)]
        if not ranks:
            raise UsageError("no example says which of its contexts holds the answer: accuracy cannot be measured")
        figures = {"accuracy": _share(ranks, 1), "mrr": 100 * math.fsum(1 / rank for rank in ranks) / len(ranks)}
        return figures | {f"recall_at_{k}": _share(ranks, k) for k in range(2, self._ranks + 1)}

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """``accuracy`` of each example: 100 where the number of the chosen context is right, else 0."""
        known: Mapping[str, int] = {example.id: relevant for example, relevant in _judged(examples)}
        pairs = zip(examples, answers, strict=True)
        return {"accuracy": [100.0 if str(known.get(example.id)) == answer else 0.0 for example, answer in pairs]}


def _judged(examples: Sequence[Example]) -> list[tuple[Example, int]]:
    """The examples whose relevant context is known, and which it is."""
    found = []
    for example in examples:
        relevant = example.relevant
        if relevant is None:
            relevant = next((answer.context for answer in example.answers or () if answer.places), None)
        if relevant is not None:
            found.append((example, relevant))
    return found


def _rank(relevant: int, prediction: Prediction | None) -> float:
    """From 1; infinite without a prediction."""
    if prediction is None:
        return math.inf
    if not isinstance(prediction, ContextPrediction):
        raise UsageError(
            f"this metric scores chosen contexts, but the prediction for id {prediction.id!r} is none: "
            "name a metric for answers or classes"
        )
    if not prediction.scores:
        return 1.0 if prediction.context == relevant else math.inf
    if relevant >= len(prediction.scores):
        return math.inf
    return float(sum(score >= prediction.scores[relevant] for score in prediction.scores))


def _share(ranks: Sequence[float], k: int) -> float:
    return 100 * sum(rank <= k for rank in ranks) / len(ranks)
