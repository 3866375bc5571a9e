"""Training windows that are chosen by where the answer lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qakit.api import EncodedExamples, WindowRuntime, Windows, uniform
from qakit_preprocess.pairs import Int64, Pairs, training_pairs
from qakit_preprocess.settings import RandomWindowSettings


@dataclass(frozen=True, slots=True)
class Centred:
    """One window for each context with an answer, the answer in its middle, moved to lie within the context.

    This is the baseline of the NTU machine learning course. An unanswerable example gives each context's first window.
    """

    runtime: WindowRuntime

    @property
    def redraws(self) -> bool:
        return False

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:  # noqa: ARG002
        """One window per chosen context, sorted by example.

        Raises:
            DataError: nothing to train on, or an example without a context.
        """
        pairs = training_pairs(encoded, self.runtime, only_answer=True)
        middle = (pairs.answer_first + pairs.answer_stop - pairs.room) // 2
        return _place(pairs, np.where(pairs.answer_first >= 0, middle, 0))


@dataclass(frozen=True, slots=True)
class RandomWindow:
    """Windows with the whole answer at any place in them, each place equally likely, redrawn each epoch.

    The draw's address is (seed, epoch, example): it does not depend on the other examples. An unanswerable example
    gives windows at any place of each context.
    """

    settings: RandomWindowSettings
    runtime: WindowRuntime

    @property
    def redraws(self) -> bool:
        return True

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """``per_example`` windows per chosen context, sorted by example.

        Raises:
            DataError: nothing to train on, or an example without a context.
        """
        pairs = training_pairs(encoded, self.runtime, only_answer=True)
        copies = self.settings.per_example
        copy = np.tile(np.arange(copies), len(pairs))
        pairs = pairs.take(np.repeat(np.arange(len(pairs)), copies))
        ordinal = pairs.pair - encoded.pointers[pairs.example]
        keys = encoded.key[pairs.example] + ordinal * copies + copy

        last_start = np.maximum(pairs.length - pairs.room, 0)
        answered = pairs.answer_first >= 0
        low = np.where(answered, np.maximum(pairs.answer_stop - pairs.room, 0), 0)
        high = np.where(answered, np.minimum(pairs.answer_first, last_start), last_start)
        draw = uniform(self.runtime.seed, epoch, keys, stream="random_window")
        return _place(pairs, low + np.floor(draw * (high - low + 1)).astype(np.int64))


def _place(pairs: Pairs, start: Int64) -> Windows:
    """One window for each pair, as near to ``start`` (K,) as the context's ends allow.

    An answer longer than the window cannot be whole: the window then starts with it, and the target is what fits.
    """
    answered = pairs.answer_first >= 0
    too_long = answered & (pairs.answer_stop - pairs.answer_first > pairs.room)
    first = np.where(too_long, pairs.answer_first, np.clip(start, 0, np.maximum(pairs.length - pairs.room, 0)))
    stop = np.minimum(first + pairs.room, pairs.length)
    return Windows.single(
        example=pairs.example,
        query_stop=pairs.query_stop,
        pair=pairs.pair,
        first=first,
        stop=stop,
        answer_first=pairs.answer_first,
        answer_stop=np.minimum(pairs.answer_stop, stop),
    )
