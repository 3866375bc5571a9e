"""The spans that windows take for the answer -> one set for each question."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.inference.nbest import rank
from qakit.inference.table import SpanTable
from qakit.values import Candidate, Example, SetPrediction


def set_predictions(
    table: SpanTable, windows: Windows, encoded: EncodedExamples, examples: Sequence[Example]
) -> list[SetPrediction]:
    """One prediction per example over all its windows and contexts, in the examples' order.

    Each window gives the spans that begin at the tokens that are its own; where those of neighbouring windows share a
    character, the better-scored one stays. Blanks at the ends are trimmed by moving the offsets; none is blank. Scores
    are log-odds against no span in its place, probabilities their logistic function.

    Raises:
        ModelError: a score is NaN or infinite.
        ValueError: not every window has been added to the table.
    """
    if table.missing:
        raise ValueError(f"{table.missing} of {len(windows)} windows have not been added to the table")
    ranked, predictions = rank(table, windows, encoded), []
    for row, example in enumerate(examples):
        kept: list[Candidate] = []
        for place in range(ranked.pointers[row], ranked.pointers[row + 1]):
            context, start, end = ranked.context[place], ranked.start[place], ranked.end[place]
            text = example.contexts[context][start:end]
            trimmed = text.strip()
            start += len(text) - len(text.lstrip())
            end = start + len(trimmed)
            if trimmed and not any(_share(each, context, start, end) for each in kept):
                score = ranked.score[place]
                kept.append(Candidate(trimmed, start, end, context, score, _logistic(score)))
        kept.sort(key=lambda each: (each.context, each.start or 0))
        predictions.append(SetPrediction(example.id, tuple(each.text for each in kept), tuple(kept)))
    return predictions


def _share(one: Candidate, context: int, start: int, end: int) -> bool:
    return (
        one.context == context and one.start is not None and one.end is not None and one.start < end and start < one.end
    )


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-score)) if score > 0 else math.exp(score) / (1 + math.exp(score))
