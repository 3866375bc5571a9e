"""Training windows that are chosen by where the answer lies."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from qakit.api import EncodedExamples, WindowRuntime, Windows, uniform
from qakit_preprocess.even import lay, steps
from qakit_preprocess.negatives import Negatives, negatives_of
from qakit_preprocess.pairs import Int64, Pairs, training_pairs, with_answer
from qakit_preprocess.settings import CentredSettings, NegativesSettings, RandomWindowSettings, StrideSettings
from qakit_preprocess.stride import Stride


@dataclass(frozen=True, slots=True)
class Centred:
    """One window for each context with an answer, the answer in its middle, moved to lie within the context.

    This is the baseline of the NTU machine learning course. An unanswerable example gives each context's first window.
    With ``negatives``, answerable examples also give windows without the answer: see :func:`_and_negatives`.
    """

    settings: CentredSettings
    runtime: WindowRuntime
    negatives: Negatives | None = None
    """Given where the settings ask for negatives."""

    @property
    def redraws(self) -> bool:
        return self.negatives is not None

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """One window per chosen context and the negatives, sorted by example.

        Raises:
            UsageError: ``overlap`` leaves no step forward.
            DataError: nothing to train on, or an example without a context.
        """
        every = training_pairs(encoded, self.runtime)
        pairs = with_answer(every, encoded)
        middle = (pairs.answer_first + pairs.answer_stop - pairs.room) // 2
        placed = _place(pairs, np.where(pairs.answer_first >= 0, middle, 0))
        return _and_negatives(placed, every, encoded, self, epoch)


@dataclass(frozen=True, slots=True)
class RandomWindow:
    """Windows with the whole answer at any place in them, each place equally likely, redrawn each epoch.

    The draw's address is (seed, epoch, example): it does not depend on the other examples. An unanswerable example
    gives windows at any place of each context. With ``negatives``, answerable examples also give windows without the
    answer: see :func:`_and_negatives`.
    """

    settings: RandomWindowSettings
    runtime: WindowRuntime
    negatives: Negatives | None = None
    """Given where the settings ask for negatives."""

    @property
    def redraws(self) -> bool:
        return True

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """``per_example`` windows per chosen context and the negatives, sorted by example.

        Raises:
            UsageError: ``overlap`` leaves no step forward.
            DataError: nothing to train on, or an example without a context.
        """
        every = training_pairs(encoded, self.runtime)
        pairs = with_answer(every, encoded)
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
        placed = _place(pairs, low + np.floor(draw * (high - low + 1)).astype(np.int64))
        return _and_negatives(placed, every, encoded, self, epoch)


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


def _and_negatives(
    placed: Windows, pairs: Pairs, encoded: EncodedExamples, preprocessor: Centred | RandomWindow, epoch: int
) -> Windows:
    """``placed`` and the negatives of their answerable examples, sorted by example, context and place.

    Negatives come from all contexts of the example, laid out as prediction lays its windows (``overlap``, ``step``) but
    from another starting point in each epoch and context. Windows that share a token with the answer are not drawn:
    where a negative lies is free here, and half an answer is a doubtful "no answer".
    """
    negatives, runtime = preprocessor.negatives, preprocessor.runtime
    if negatives is None:
        return placed
    pairs = pairs.take(encoded.answerable[pairs.example] != 0)
    step = steps(pairs, preprocessor.settings, runtime)
    keys = encoded.key[pairs.example] + pairs.pair - encoded.pointers[pairs.example]
    shift = np.floor(uniform(runtime.seed, epoch, keys, stream="negatives/shift") * step).astype(np.int64)
    laid = lay(pairs, step, encoded, shift=shift)
    positives = np.bincount(placed.example[placed.answer_first >= 0], minlength=len(encoded))
    chosen = laid.windows(negatives.choose(laid, ~laid.touches, positives, encoded, epoch=epoch))
    names = [field.name for field in fields(Windows) if field.name != "pointers"]
    both = {name: np.concatenate([getattr(placed, name), getattr(chosen, name)]) for name in names}
    order = np.lexsort((both["first"], both["pair"]))
    return Windows.single(**{name: values[order] for name, values in both.items()})


def build_centred(settings: CentredSettings, runtime: WindowRuntime) -> Centred | Stride:
    """Training: one window around the answer. Prediction: evenly spaced ones."""
    return Centred(settings, runtime, _negatives(settings, runtime)) if runtime.training else _even(settings, runtime)


def build_random_window(settings: RandomWindowSettings, runtime: WindowRuntime) -> RandomWindow | Stride:
    """Training: windows with the answer anywhere in them. Prediction: evenly spaced ones."""
    if runtime.training:
        return RandomWindow(settings, runtime, _negatives(settings, runtime))
    return _even(settings, runtime)


def _negatives(settings: NegativesSettings, runtime: WindowRuntime) -> Negatives | None:
    return negatives_of(settings.negatives, settings.hard_negatives, runtime)


def _even(settings: NegativesSettings, runtime: WindowRuntime) -> Stride:
    return Stride(StrideSettings(overlap=settings.overlap, step=settings.step), runtime)
