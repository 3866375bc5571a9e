"""The best no-answer threshold, found as the official SQuAD 2.0 script does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BestThreshold:
    """The optimum over all thresholds."""

    score: float
    """Mean score in percent at the threshold."""
    threshold: float
    """Answer "" where the no-answer probability is above this."""


def best_threshold(
    scores: Mapping[str, float],
    answers: Mapping[str, str],
    probabilities: Mapping[str, float],
    answerable: Mapping[str, bool],
) -> BestThreshold:
    """Sweep the threshold from "answer nothing" upwards and keep the first best.

    The sweep steps through questions, also through those with equal probability, because the official figures do;
    among equals the order of ``probabilities`` decides.

    Args:
        scores: by id, 0 to 1, of the answers as given; ids that are missing here are passed over.
        answers: by id; an empty one says "no answer" whatever the threshold.
        probabilities: that the question has no answer, by id.
        answerable: by id, for every gold question.
    """
    # "Answer nothing" is right for every unanswerable question.
    current = best = float(sum(not has_answer for has_answer in answerable.values()))
    threshold = 0.0
    for id_ in sorted(probabilities, key=probabilities.__getitem__):
        if id_ not in scores:
            continue
        if answerable[id_]:
            current += scores[id_]
        elif answers[id_]:
            current -= 1
        if current > best:
            best, threshold = current, probabilities[id_]
    return BestThreshold(score=100.0 * best / len(scores) if scores else 0.0, threshold=threshold)
