"""Windows at even distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qakit.api import EncodedExamples, WindowRuntime, Windows
from qakit_preprocess import StrideSettings
from qakit_preprocess.even import EvenWindows, lay, steps
from qakit_preprocess.negatives import Negatives, negatives_of
from qakit_preprocess.pairs import Bools, all_pairs, training_pairs, with_answer


@dataclass(frozen=True, slots=True)
class Stride:
    """Evenly spaced windows from the context's start to its end.

    Prediction has all of them. In training, windows of an answerable example that lack its answer (*negatives*) are
    all kept, left out, or, with a ratio, drawn anew each epoch: see :class:`~qakit_preprocess.negatives.Negatives`. A
    window that cuts the answer lacks it, and may be drawn: prediction meets such windows too, and leaves the answer to
    the neighbour that holds it whole.
    """

    settings: StrideSettings
    runtime: WindowRuntime
    negatives: Negatives | None = None
    """Given where the settings ask for a ratio of negatives."""

    @property
    def redraws(self) -> bool:
        return self.negatives is not None

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """Every window that is wanted, sorted by example, context and place.

        Raises:
            UsageError: ``overlap`` leaves no step forward.
            DataError: nothing to train on, or an example without a context.
        """
        if not self.runtime.training:
            pairs = all_pairs(encoded, self.runtime)
            laid = lay(pairs, steps(pairs, self.settings, self.runtime), encoded)
            return laid.windows(np.ones(len(laid), bool))
        pairs = training_pairs(encoded, self.runtime)
        if self.settings.contexts == "answer":
            pairs = with_answer(pairs, encoded)
        laid = lay(pairs, steps(pairs, self.settings, self.runtime), encoded)
        return laid.windows(self._kept(laid, encoded, epoch))

    def _kept(self, laid: EvenWindows, encoded: EncodedExamples, epoch: int) -> Bools:
        """(W,) the windows to train on."""
        if self.settings.negatives == "all":
            return np.ones(len(laid), bool)
        holds = laid.holds
        unanswerable = encoded.answerable[laid.of.example] == 0
        kept: Bools = holds | unanswerable
        if self.negatives is not None:
            positives = np.bincount(laid.of.example[holds], minlength=len(encoded))
            kept |= self.negatives.choose(laid, ~kept, positives, encoded, epoch=epoch)
        return kept


def build_stride(settings: StrideSettings, runtime: WindowRuntime) -> Stride:
    """With negatives where the settings ask for a ratio of them."""
    ratio = settings.negatives if isinstance(settings.negatives, float) else 0.0
    return Stride(settings, runtime, negatives_of(ratio, settings.hard_negatives, runtime))
