"""One window for each text or pair of texts, cut to fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.api import DataError, EncodedExamples, UsageError, WindowRuntime, Windows

logger = logging.getLogger(__name__)

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truncate:
    """The first tokens of both texts; the longer one is cut first, down to the other's length, then both alike.

    Texts without a partner have a window without segments. In training, only labelled examples have one.
    ``max_question_length`` does not apply: it is for questions.

    Source: the ``longest_first`` truncation of Hugging Face's tokenizers, whose result this gives without its loop.
    """

    runtime: WindowRuntime

    @property
    def redraws(self) -> bool:
        return False

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:  # noqa: ARG002 (the protocol's)
        """One window for each example, in their order.

        Raises:
            UsageError: ``max_length`` leaves no place for both texts.
            DataError: nothing to train on, or an example with several contexts.
        """
        contexts = np.diff(encoded.pointers)
        if (contexts > 1).any():
            number = int(contexts.max())
            raise DataError(f"an example has {number} contexts; `truncate` is for a text or a pair of texts")
        example = self._used(encoded)
        paired = contexts[example] == 1
        pair = encoded.pointers[example][paired]
        first, second = encoded.query_lengths[example].astype(np.int64), np.zeros(len(example), np.int64)
        second[paired] = encoded.context_lengths[pair]
        query_stop, stop = longest_first(first, second, self._room(paired))
        nowhere = np.full(len(pair), -1, np.int32)
        return Windows(
            example=example.astype(np.int32),
            query_stop=query_stop.astype(np.int32),
            pointers=np.concatenate([np.zeros(1, np.int64), paired.cumsum()]),
            pair=pair.astype(np.int32),
            first=np.zeros(len(pair), np.int32),
            stop=stop[paired].astype(np.int32),
            answer_first=nowhere,
            answer_stop=nowhere,
        )

    def _used(self, encoded: EncodedExamples) -> Int64:
        """(W,) the examples that have a window."""
        if not self.runtime.training:
            return np.arange(len(encoded))
        labelled: Int64 = np.flatnonzero(encoded.has_label)
        if not len(labelled):
            raise DataError("no training windows: no example has a label")
        if left_out := len(encoded) - len(labelled):
            logger.info("%d of %d examples have no label and are not trained on", left_out, len(encoded))
        return labelled

    def _room(self, paired: NDArray[np.bool_]) -> Int64:
        """(W,) tokens of both texts together that fit into each window."""
        runtime = self.runtime
        room = runtime.max_length - runtime.special_tokens
        if room < 2:
            raise UsageError(
                f"max_length {runtime.max_length} leaves no place for two texts beside {runtime.special_tokens} "
                "special tokens"
            )
        return np.where(paired, room, room + runtime.separator_tokens)


def longest_first(first: Int64, second: Int64, room: Int64) -> tuple[Int64, Int64]:
    """How many tokens of two texts are kept, (W,) each, where they may have ``room`` tokens together.

    A text of at most half of the room stays whole and the other one gets the rest; two longer ones get half each. Of an
    odd number, the longer text has one token more; of equal texts, the second.
    """
    shorter = np.minimum(np.minimum(first, second), room // 2)
    longer = np.minimum(np.maximum(first, second), room - shorter)
    swapped = first > second
    return np.where(swapped, longer, shorter), np.where(swapped, shorter, longer)
