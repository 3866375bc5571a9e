"""Made-up questions and answers for the contracts of what works on predictions, and what members think of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from qakit.inference.characters import CharacterScores, context_hash
from qakit.values import Answer, Candidate, Example, LabelPrediction, NoAnswer, Prediction, SpanPrediction, Targets

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


def made_up_labels(labels: Sequence[str | float | Targets]) -> list[Example]:
    """A text for each of the labels; ids are numbers from 0."""
    return [Example(str(number), "text", label=label) for number, label in enumerate(labels)]


def _gold(text: str) -> Answer:
    start = CONTEXT.find(text)
    return Answer(text, start if start >= 0 else None)


Probabilities = Mapping[str, float]
"""A member's probabilities of answers to one question, "" for "no answer"; the likeliest first."""

SURE, UNSURE = 0.9, 0.7
FILLER = -9.0
"""The logarithm of the probability that characters have which begin or end nobody's answer."""


def confident(answers: Sequence[str], *, share: float = SURE) -> list[Probabilities]:
    """Sure of the answers; the rest is for "no answer", or for the first word of the context."""
    return [{answer: share, ("" if answer else "李白"): 1 - share} for answer in answers]


def contested(answers: Sequence[str], *, common: str) -> list[Probabilities]:
    """Each answer is only a little likelier than a common one."""
    return [
        {answer: 0.45, common: 0.4, "": 0.15} if answer not in ("", common) else {common: 1.0} for answer in answers
    ]


def span_predictions(members: Sequence[Probabilities]) -> list[Prediction]:
    """Candidates, best first, and the "no answer" option, whose scores are logarithms of probabilities."""
    found: list[Prediction] = []
    for number, shares in enumerate(members):
        ranked = [text for text in shares if text]
        candidates = tuple(candidate(text, math.log(shares[text]), shares[text]) for text in ranked)
        null = shares.get("", 1e-6)
        found.append(SpanPrediction(f"q{number}", next(iter(shares)), candidates, NoAnswer(math.log(null), null)))
    return found


def character_scores(members: Sequence[Probabilities]) -> CharacterScores:
    """Each character is a token; all answers are in the context."""
    start, end = np.full((2, len(members), len(CONTEXT)), FILLER, np.float16)
    nulls = np.full((len(members), 2), FILLER, np.float32)
    for row, shares in enumerate(members):
        for text, share in shares.items():
            if text:
                begin = CONTEXT.index(text)
                start[row, begin] = end[row, begin + len(text) - 1] = math.log(share)
            else:
                nulls[row] = math.log(share)
    rows = np.arange(len(members) + 1)
    return CharacterScores(
        ids=tuple(f"q{number}" for number in range(len(members))),
        start=start.ravel(),
        end=end.ravel(),
        no_answer=nulls,
        pointers=rows * len(CONTEXT),
        examples=rows,
        contexts=np.full(len(members), context_hash(CONTEXT), np.uint64),
        aggregation="mean",
    )


def label_predictions(
    labels: Sequence[str | float | Targets], *, share: float = SURE, classes: Sequence[str | float | Targets] = ()
) -> list[Prediction]:
    """Classes with probabilities, or numbers. ``classes``: all that there are; by default those among the labels."""
    names = sorted({label for label in (*labels, *classes) if isinstance(label, str)})
    rest = (1 - share) / max(1, len(names) - 1)
    return [
        LabelPrediction(str(number), label, tuple(share if name == label else rest for name in names))
        for number, label in enumerate(labels)
    ]
