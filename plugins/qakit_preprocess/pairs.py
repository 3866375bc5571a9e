"""(Question, context) pairs and what fits into a window: shared by all preprocessors here."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qakit.api import DataError, EncodedExamples, UsageError, WindowRuntime

logger = logging.getLogger(__name__)

Int64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pairs:
    """K pairs as parallel arrays (K,) int64; lengths in tokens.

    Attributes:
        pair: row in ``EncodedExamples.context``.
        example: row in ``EncodedExamples``.
        query_stop: question tokens used: the first ``max_question_length``, and fewer where that would leave no
            place for a context token.
        length: tokens of the context.
        room: context tokens that fit into a window, at least 1.
        answer_first: first token of the answer, -1 without one.
        answer_stop: one past its last token, -1 without one.
        evidence: bool, whether the pair is what yes or no is answered from, and learnt; no part of it has the answer.
    """

    pair: Int64
    example: Int64
    query_stop: Int64
    length: Int64
    room: Int64
    answer_first: Int64
    answer_stop: Int64
    evidence: Bools

    def __len__(self) -> int:
        return len(self.pair)

    def take(self, rows: Bools | Int64) -> Pairs:
        """Some of the pairs, by mask or by row numbers (repeated ones are fine)."""
        return Pairs(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def all_pairs(encoded: EncodedExamples, runtime: WindowRuntime) -> Pairs:
    """Every pair of ``encoded``, in order.

    Raises:
        DataError: an example has no context.
        UsageError: nothing fits into a window.
    """
    bare = int((np.diff(encoded.pointers) == 0).sum())
    if bare:
        raise DataError(
            f"{bare} of {len(encoded)} examples have no context to look for an answer in; texts with labels want the "
            "preprocessor `truncate`"
        )
    example = encoded.pair_example.astype(np.int64)
    inner = runtime.max_length - runtime.special_tokens
    if inner < 1:
        raise UsageError(
            f"max_length {runtime.max_length} leaves no place beside {runtime.special_tokens} special tokens"
        )
    query_stop = np.minimum(encoded.query_lengths[example], min(runtime.max_question_length, inner - 1))
    return Pairs(
        pair=np.arange(len(example)),
        example=example,
        query_stop=query_stop.astype(np.int64),
        length=encoded.context_lengths.astype(np.int64),
        room=inner - query_stop.astype(np.int64),
        answer_first=encoded.answer_first.astype(np.int64),
        answer_stop=encoded.answer_stop.astype(np.int64),
        evidence=np.zeros(len(example), bool) if encoded.yes_no is None else encoded.yes_no > 0,
    )


def training_pairs(encoded: EncodedExamples, runtime: WindowRuntime) -> Pairs:
    """The pairs that can be learnt from: all of an unanswerable example, and all of one whose answer has a place or is
    yes or no, where these are learnt.

    Left out are unlabelled examples and those whose answer has no known place: "no answer" would be a wrong target.

    Raises:
        DataError: nothing is left, or an example has no context.
    """
    pairs = all_pairs(encoded, runtime)
    usable = encoded.answerable == 0
    usable[pairs.example[(pairs.answer_first >= 0) | pairs.evidence]] = True
    if not usable.any():
        raise DataError("no training windows: no example has an answer with a place, or is labelled as unanswerable")
    if left_out := int((~usable).sum()):
        logger.info("%d of %d examples have no answer with a place and are not trained on", left_out, len(encoded))
    return pairs.take(usable[pairs.example])


def with_answer(pairs: Pairs, encoded: EncodedExamples) -> Pairs:
    """Of answerable examples only the pair with the answer or the evidence for yes or no, of unanswerable ones all."""
    return pairs.take((pairs.answer_first >= 0) | pairs.evidence | (encoded.answerable[pairs.example] == 0))
