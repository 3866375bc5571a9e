"""MultiSpanQA's figures: how many of all answers are found, and how much of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from qakit.api import Example, Prediction, SetPrediction, SpanPrediction, UsageError, normalize
from qakit_metrics import MultiSpanSettings

Float64 = NDArray[np.float64]


class MultiSpan:
    """Precision, recall and F1 over all answers of all questions, as MultiSpanQA's official script counts them.

    Texts are compared as SQuAD's script does, each once. ``exact_match``: answers that are equal. ``overlap``: each
    answer by the longest run of characters that it shares with one on the other side, as its share of the answer. A
    side without an answer counts as one answer, which is right where neither side has any.

    Source: Li et al. 2022, "MultiSpanQA: A Dataset for Multi-Span Question Answering".
    """

    def __init__(self, settings: MultiSpanSettings) -> None:
        self.primary: str = settings.primary

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """``exact_match_precision``, ``exact_match_recall``, ``exact_match_f1`` and those of ``overlap``, in percent.

        A missing prediction answers nothing, and a single answer is a set of one.

        Raises:
            UsageError: predictions are no answers.
        """
        odd = next((each for each in predictions if not isinstance(each, SetPrediction | SpanPrediction)), None)
        if odd is not None:
            raise UsageError(f"this metric scores answers, but the prediction for id {odd.id!r} is none")
        given = {prediction.id: prediction.final for prediction in predictions}
        answers = [given.get(example.id, "") for example in examples]
        return {
            name: float(values[0])
            for name, values in self.of_draws(examples, answers, np.ones((1, len(answers)))).items()
        }

    def of_draws(self, examples: Sequence[Example], answers: Sequence[str], counts: Float64) -> Mapping[str, Float64]:
        """The figures of many draws at once; see :class:`~qakit.api.DrawnMetric`."""
        rows = np.array(
            [_counts(example, answer) for example, answer in zip(examples, answers, strict=True)], np.float64
        ).reshape(-1, 5)
        gold, said, equal, of_said, of_gold = (counts @ rows).T
        figures: dict[str, Float64] = {}
        for name, precise, recalled in (("exact_match", equal, equal), ("overlap", of_said, of_gold)):
            precision, recall = precise / np.maximum(said, 1), recalled / np.maximum(gold, 1)
            f1 = 2 * precision * recall / np.where(precision + recall > 0, precision + recall, 1)
            figures |= {f"{name}_precision": 100 * precision, f"{name}_recall": 100 * recall, f"{name}_f1": 100 * f1}
        return figures


def _counts(example: Example, final: str) -> tuple[float, ...]:
    """Answers in the gold set, and in the predicted one (1 at least); equal ones; shares found of both."""
    gold = {normalize(answer.text) for answer in example.answers or ()}
    said = {normalize(text) for text in SetPrediction.texts(final)}
    equal = len(gold & said) if gold or said else 1
    return max(len(gold), 1), max(len(said), 1), equal, *_overlap(gold, said)


def _overlap(gold: set[str], said: set[str]) -> tuple[float, float]:
    """How much of the predicted answers, and of the gold ones, the other side has; summed over the answers."""
    empty = not said or said == {""}
    if not gold or empty:
        return (1.0, 1.0) if not gold and empty else (0.0, 0.0)
    shared = {(one, other): _longest(one, other) for one in gold for other in said}
    return (
        sum(max(shared[one, other] / max(len(other), 1) for one in gold) for other in said),
        sum(max(shared[one, other] / max(len(one), 1) for other in said) for one in gold),
    )


def _longest(one: str, other: str) -> int:
    """Characters of the longest run in both, as ``difflib`` finds it: it passes over characters that are in many places
    of a long text, and so does the official script."""
    return SequenceMatcher(None, one, other).find_longest_match(0, len(one), 0, len(other)).size
