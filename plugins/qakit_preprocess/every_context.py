"""A window for every context of an example, and as many as it takes where a context is too long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.api import DataError, EncodedExamples, WindowRuntime, Windows, uniform
from qakit_preprocess import EveryContextSettings
from qakit_preprocess.even import lay, steps
from qakit_preprocess.pairs import all_pairs


@dataclass(frozen=True, slots=True)
class EveryContext:
    """Evenly spaced windows of all contexts, each with one: for heads that compare the contexts of an example.

    In training, examples are left out of which it is not known which context holds the answer; with ``train_contexts``
    each of the others keeps the relevant context and some of the rest, drawn anew each epoch.
    """

    settings: EveryContextSettings
    runtime: WindowRuntime

    @property
    def redraws(self) -> bool:
        return self.runtime.training and self.settings.train_contexts is not None

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """Every window, sorted by example, context and place.

        Raises:
            UsageError: ``overlap`` leaves no step forward.
            DataError: nothing to train on, or an example without a context.
        """
        pairs = all_pairs(encoded, self.runtime)
        if self.runtime.training:
            pairs = pairs.take(self._trained(encoded, epoch))
        laid = lay(pairs, steps(pairs, self.settings, self.runtime), encoded)
        return laid.windows(np.ones(len(laid), bool))

    def _trained(self, encoded: EncodedExamples, epoch: int) -> NDArray[np.bool_]:
        """(P,) the pairs to train on."""
        usable = comparable(encoded)[encoded.pair_example]
        most = self.settings.train_contexts
        if most is None:
            return usable
        example = encoded.pair_example.astype(np.int64)
        pair = np.arange(len(example))
        keys = encoded.key[example] + pair - encoded.pointers[example]
        draw = uniform(self.runtime.seed, epoch, keys, stream="contexts")
        draw[pair == encoded.relevant[example]] = -1.0  # always in
        order = np.lexsort((draw, example))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order)) - encoded.pointers[example[order]]
        kept: NDArray[np.bool_] = usable & (rank < most)
        return kept


def comparable(encoded: EncodedExamples) -> NDArray[np.bool_]:
    """(N,) examples whose contexts can be told apart: the one with the answer is known, or none has it.

    Raises:
        DataError: there is no such example.
    """
    known: NDArray[np.bool_] = (encoded.relevant >= 0) | (encoded.answerable == 0)
    if not known.any():
        raise DataError("no training windows: no example says which of its contexts holds the answer")
    return known
