"""Training windows that are chosen by where the answer lies."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from qakit.api import EncodedExamples, WindowRuntime, Windows, uniform
from qakit_preprocess import CentredSettings, RandomWindowSettings, StrideSettings
from qakit_preprocess.even import lay, steps
from qakit_preprocess.negatives import Negatives, negatives_of
from qakit_preprocess.pairs import Int64, Pairs, training_pairs, with_answer
from qakit_preprocess.stride import Stride


@dataclass(frozen=True, slots=True)
class AroundAnswer:
    """Windows that hold the answer of each context with one, or lie anywhere where an example is unanswerable.

    With ``negatives``, answerable examples also give windows without the answer: they are drawn anew each epoch.
    """

    settings: CentredSettings | RandomWindowSettings
    runtime: WindowRuntime
    negatives: Negatives | None
    """Given where the settings ask for negatives."""

    @property
    def redraws(self) -> bool:
        return self.negatives is not None or isinstance(self.settings, RandomWindowSettings)

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """The windows of the chosen contexts and the negatives, sorted by example.

        Raises:
            UsageError: ``overlap`` leaves no step forward.
            DataError: nothing to train on, or an example without a context.
        """
        every = training_pairs(encoded, self.runtime)
        pairs = with_answer(every, encoded)
        if isinstance(self.settings, RandomWindowSettings):
            placed = self._drawn(pairs, encoded, epoch, copies=self.settings.per_example)
        else:
            placed = _centred(pairs)
        return placed if self.negatives is None else self._and_negatives(placed, every, encoded, self.negatives, epoch)

    def _drawn(self, pairs: Pairs, encoded: EncodedExamples, epoch: int, *, copies: int) -> Windows:
        """``copies`` windows for each pair with the whole answer at any place, each place equally likely, redrawn each
        epoch; those of unanswerable examples at any place of the context.

        The draw's address is (seed, epoch, example): it does not depend on the other examples.
        """
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

    def _and_negatives(
        self, placed: Windows, pairs: Pairs, encoded: EncodedExamples, negatives: Negatives, epoch: int
    ) -> Windows:
        """``placed`` and the negatives of their answerable examples, sorted by example, context and place.

        Negatives come from all contexts of the example, laid out as prediction lays its windows (``overlap``, ``step``)
        but from another starting point in each epoch and context. Windows that share a token with the answer are not
        drawn: where a negative lies is free here, and half an answer is a doubtful "no answer".
        """
        pairs = pairs.take(encoded.answerable[pairs.example] != 0)
        step = steps(pairs, self.settings, self.runtime)
        keys = encoded.key[pairs.example] + pairs.pair - encoded.pointers[pairs.example]
        shift = np.floor(uniform(self.runtime.seed, epoch, keys, stream="negatives/shift") * step).astype(np.int64)
        laid = lay(pairs, step, encoded, shift=shift)
        answered = encoded.answerable[placed.example] == 1
        positives = np.bincount(placed.example[answered], minlength=len(encoded))
        chosen = laid.windows(negatives.choose(laid, ~laid.touches, positives, encoded, epoch=epoch))
        names = [field.name for field in fields(Windows) if field.name != "pointers"]
        both = {name: np.concatenate([getattr(placed, name), getattr(chosen, name)]) for name in names}
        order = np.lexsort((both["first"], both["pair"]))
        return Windows.single(**{name: values[order] for name, values in both.items()})


def _centred(pairs: Pairs) -> Windows:
    """One window for each pair, the answer in its middle; the context's first one without an answer.

    This is the baseline of the NTU machine learning course.
    """
    middle = (pairs.answer_first + pairs.answer_stop - pairs.room) // 2
    return _place(pairs, np.where(pairs.answer_first >= 0, middle, 0))


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


def build(settings: CentredSettings | RandomWindowSettings, runtime: WindowRuntime) -> AroundAnswer | Stride:
    """Training: windows around the answer. Prediction: evenly spaced ones."""
    if not runtime.training:
        return Stride(StrideSettings(overlap=settings.overlap, step=settings.step), runtime)
    return AroundAnswer(settings, runtime, negatives_of(settings.negatives, settings.hard_negatives, runtime))
