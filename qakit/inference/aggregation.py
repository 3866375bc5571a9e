"""What tokens in several overlapping windows count: which head it takes, and spans from their mean scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from qakit.data.arrays import Int64
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import UsageError
from qakit.inference.positions import PositionTable
from qakit.inference.spans import best_spans
from qakit.inference.table import SpanTable
from qakit.protocols import (
    Gives,
    GivesOtherThanSpans,
    LearnsYesNo,
    ScoresPositions,
    SpanCandidates,
    SumsPositions,
)
from qakit.recipe.model import PredictSection, Recipe

BATCH_TOKENS = 1 << 20
"""At most this many padded tokens are searched for spans at once, or those of a single context."""


def decided(predict: PredictSection, head: object) -> PredictSection:
    """The block with an aggregation: where it leaves that to the head, the mean for spans that are the sum of two ends,
    else ``max_context``."""
    if predict.aggregation != "auto":
        return predict
    sums = isinstance(head, SumsPositions) and head.sums_positions and not learns_yes_no(head)
    return predict.model_copy(update={"aggregation": "mean" if sums else "max_context"})


def check_head(recipe: Recipe, head: object) -> None:
    """Make sure, before any scoring, that the head can do what the recipe's ``predict`` block asks of it.

    Raises:
        UsageError: scores of single tokens are wanted, and the head gives none, or yes and no, which no token has; or
            windows are to be compared by the scores of single answers, and the head gives sets.
    """
    predict = decided(recipe.predict, head)
    wanted = "aggregation: mean" if predict.aggregation == "mean" else "character_scores: true"
    if given_by(head) == "sets" and (predict.aggregation != "max_context" or predict.character_scores):
        wanted = wanted if predict.character_scores else f"aggregation: {predict.aggregation}"
        raise UsageError(
            f"`predict.{wanted}` is for a single answer, and the head {recipe.head.name!r} gives all answers of a "
            "window together: leave the setting out"
        )
    if predict.aggregation != "mean" and not predict.character_scores:
        return
    if learns_yes_no(head):
        raise UsageError(
            f"`predict.{wanted}` is about the scores of single tokens, and the head {recipe.head.name!r} learns yes "
            "and no, which no token stands for: leave the setting out, or head.yes_no_weight"
        )
    if not isinstance(head, ScoresPositions):
        raise UsageError(
            f"`predict.{wanted}` needs the scores of single tokens, which the head {recipe.head.name!r} does not give; "
            "choose another head (linear_span, say) or leave the setting out"
        )


def given_by(head: object) -> Gives:
    """What a head decodes to."""
    return head.gives if isinstance(head, GivesOtherThanSpans) else "spans"


def check_gives(head: object, wanted: Gives, *, name: str, part: str) -> None:
    """The head of a part decodes to what the whole needs of it.

    Args:
        name: of the head, for the message.
        part: what it is the head of, likewise.

    Raises:
        UsageError: it does not.
    """
    if (gives := given_by(head)) != wanted:
        raise UsageError(f"{part}: the head {name!r} gives {gives}; this part needs one that gives {wanted}")


def learns_yes_no(head: object) -> bool:
    """Whether a head learns yes and no beside spans."""
    return isinstance(head, LearnsYesNo) and head.yes_no


def against_no_answer(decoded: SpanCandidates) -> SpanCandidates:
    """The same spans with their log-odds against "no answer" in their window, whose own score becomes 0.

    So windows with larger scores throughout have no advantage over the others.
    """
    score = decoded.score - decoded.null[:, None]
    yes_no = None if decoded.yes_no is None else decoded.yes_no - decoded.null[:, None]
    return replace(decoded, score=score, null=torch.zeros_like(decoded.null), yes_no=yes_no)


def whole_contexts(encoded: EncodedExamples) -> Windows:
    """Each (example, context) pair as one window over the whole context, without its question: P in all."""
    pairs = len(encoded.context)
    none = np.full(pairs, -1, np.int32)
    return Windows.single(
        example=encoded.pair_example,
        query_stop=np.zeros(pairs, np.int32),
        pair=np.arange(pairs),
        first=np.zeros(pairs, np.int32),
        stop=encoded.context_lengths,
        answer_first=none,
        answer_stop=none,
    )


def spans_of(positions: PositionTable, encoded: EncodedExamples, *, n_best: int, max_answer_length: int) -> SpanTable:
    """The best spans of every context under its tokens' scores, exactly, each context searched once.

    A span's score is the start log-odds of its first token plus the end log-odds of its last; "no answer" has 0. Of
    heads that give marginals it is therefore no log-odds of the span, but the sum of two; the threshold is tuned on it.

    Args:
        max_answer_length: in tokens.

    Returns:
        One row for each of :func:`whole_contexts`.
    """
    table = SpanTable(len(encoded.context), n_best, encoded)
    lengths = np.diff(positions.pointers)
    start, end = positions.start, positions.end
    for pairs in _batches(lengths):
        width = max(1, int(lengths[pairs].max()))
        column = np.arange(width)
        real = column < lengths[pairs, None]  # (B, width)
        index = np.where(real, positions.pointers[pairs, None] + column, 0)
        scores = [
            torch.from_numpy(np.where(real, values[index] if len(values) else -np.inf, -np.inf).astype(np.float32))
            for values in (start, end)
        ]
        mask = torch.from_numpy(real)
        first, last, score = best_spans(*scores, start_mask=mask, end_mask=mask, k=n_best, max_length=max_answer_length)
        origin = encoded.store.pointers[encoded.context[pairs], None]
        table.add_tokens(
            pairs,
            segment=np.broadcast_to(pairs[:, None], score.shape).astype(np.int32),
            first=origin + first.numpy(),
            last=origin + last.numpy(),
            score=score.numpy(),
            null=np.zeros(len(pairs), np.float32),
        )
    return table


def _batches(lengths: Int64) -> Iterator[Int64]:
    """All pairs, in batches of similar length."""
    order = np.argsort(-lengths, kind="stable")
    begin = 0
    while begin < len(order):
        stop = begin + max(1, BATCH_TOKENS // max(1, int(lengths[order[begin]])))
        yield order[begin:stop]
        begin = stop
