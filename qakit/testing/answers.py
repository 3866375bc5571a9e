"""Made-up questions and answers for the contracts of what works on predictions."""

from __future__ import annotations

from collections.abc import Sequence

from qakit.values import Answer, Candidate, Example, LabelPrediction, NoAnswer, Prediction, SpanPrediction

CONTEXT = '  李白，字太白。「靜夜思」 was written by Li Bai (701–762), "the Poet"; see A,B.\n'
ANSWERS = ("李白", "", " 李白，", "「靜夜思", "Li Bai (701–762)", '"the Poet"', "A,B", "\n", "e\u0301 😀")


def made_up_questions() -> list[Example]:
    """A question for each of the answers; those to blank ones have none."""
    return [
        Example(f"q{number}", "誰？", (CONTEXT,), (_gold(text),) if text.strip() else ())
        for number, text in enumerate(ANSWERS)
    ]


def made_up_answers() -> list[SpanPrediction]:
    """A prediction for each of the answers, which is its only candidate."""
    predictions: list[SpanPrediction] = []
    for number, text in enumerate(ANSWERS):
        candidates = (candidate(text, 2.0, 0.7),) if text else ()
        predictions.append(SpanPrediction(f"q{number}", text, candidates, NoAnswer(0.5, 0.3)))
    return predictions


def candidate(text: str, score: float, probability: float) -> Candidate:
    """A candidate where the context has its text first, or without a place."""
    start = CONTEXT.find(text)
    first, end = (start, start + len(text)) if start >= 0 else (None, None)
    return Candidate(text, first, end, 0, score, probability)


def made_up_labels(labels: Sequence[str | float]) -> list[Example]:
    """A text for each of the labels; ids are numbers from 0."""
    return [Example(str(number), "text", label=label) for number, label in enumerate(labels)]


def made_up_label_predictions(labels: Sequence[str | float]) -> list[Prediction]:
    """A prediction of each of the labels; ids are numbers from 0."""
    return [LabelPrediction(str(number), label) for number, label in enumerate(labels)]


def _gold(text: str) -> Answer:
    start = CONTEXT.find(text)
    return Answer(text, start if start >= 0 else None)
