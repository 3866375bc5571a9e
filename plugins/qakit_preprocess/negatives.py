"""Which windows without the answer an answerable example is trained on: how many, and which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qakit.api import EncodedExamples, WindowRuntime, uniform
from qakit_preprocess import HardNegativesSettings
from qakit_preprocess.even import EvenWindows
from qakit_preprocess.pairs import Bools, Int64
from qakit_preprocess.wrong_candidates import PreviousRun, WrongCandidates

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Negatives:
    """Windows without the answer, drawn anew each epoch.

    An example with P windows that hold its answer (*positives*) gets ``ratio`` x P windows that don't (*negatives*), or
    all it has where that is fewer; a fraction f is one more with probability f. With ``ratio`` 1, questions with long
    contexts don't drown the answers in "no answer", while the model still sees each question without its answer.

    Uniform negatives: every subset of the example's windows without the answer is equally likely.

    Hard negatives: a previous run's wrong candidates take turns, highest score first. Each stands for one window, drawn
    from those that hold it and not the answer; a candidate that every window shares with the answer stands for none,
    and a window that stands for several counts once. The example's best ``share`` of negatives come from these, the
    rest are uniform. Source: negatives on which the model errs, as in Karpukhin et al., "Dense Passage Retrieval",
    EMNLP 2020, and before them Felzenszwalb et al., PAMI 2010 (hard negative mining).

    Every draw's address is (seed, epoch, example): the other examples don't matter.
    """

    ratio: float
    seed: int
    previous: PreviousRun | None = None
    """Where hard negatives come from."""
    share: float = 1.0
    """Of an example's negatives, how many are hard where there are enough of them."""

    def choose(
        self, laid: EvenWindows, eligible: Bools, positives: Int64, encoded: EncodedExamples, *, epoch: int
    ) -> Bools:
        """The negatives of one epoch as a mask of ``laid``, (W,).

        Args:
            eligible: (W,) windows that may be drawn: of answerable examples, without the whole answer.
            positives: (N,) windows with the answer, of each example.

        Raises:
            DataError: the previous run's predictions are not of these examples.
        """
        rows = np.flatnonzero(eligible)
        example = laid.of.example[rows]
        count = self._counts(positives, np.bincount(example, minlength=len(encoded)), encoded, epoch)
        ordinal = rows - np.searchsorted(laid.of.example, example)
        order = uniform(self.seed, epoch, encoded.key[example] + ordinal, stream="negatives")
        if self.previous is not None:
            wrong = self.previous.wrong(encoded)
            hardness = self._hardness(wrong, laid.of.pair[rows], laid.first[rows], laid.stop[rows], epoch)
            chance = uniform(self.seed, epoch, encoded.key, stream="negatives/hard count")
            most = _rounded(self.share * count, chance)[example]
            hard = (hardness > -np.inf) & (_rank(example, -hardness, order) < most)
            order = np.where(hard, order - 1, order)  # before all others
        chosen = np.zeros(len(laid), bool)
        chosen[rows] = _rank(example, order) < count[example]
        return chosen

    def _counts(self, positives: Int64, available: Int64, encoded: EncodedExamples, epoch: int) -> Int64:
        """(N,) negatives of each example."""
        wanted = np.minimum(self.ratio * positives, available)
        return _rounded(wanted, uniform(self.seed, epoch, encoded.key, stream="negatives/count"))

    def _hardness(self, wrong: WrongCandidates, pair: Int64, first: Int64, stop: Int64, epoch: int) -> Float64:
        """The score of the best candidate that each window stands for, (W,); -inf where it stands for none.

        The windows are sorted by pair and place, so those that hold a candidate lie side by side.
        """
        shift = int(max(stop.max(initial=0), wrong.stop.max(initial=0))) + 2
        low = np.searchsorted(pair * shift + stop, wrong.pair * shift + wrong.stop, side="left")
        high = np.searchsorted(pair * shift + first, wrong.pair * shift + wrong.first, side="right")
        draw = uniform(self.seed, epoch, wrong.key, stream="negatives/hard")
        pick = low + np.floor(draw * (high - low)).astype(np.int64)
        held = low < high
        hardness = np.full(len(pair), -np.inf)
        np.maximum.at(hardness, pick[held], wrong.score[held])
        return hardness


def negatives_of(ratio: float, hard: HardNegativesSettings | None, runtime: WindowRuntime) -> Negatives | None:
    """The negatives that the settings ask for; None when there are none to draw, as always in prediction.

    Raises:
        DataError: the previous run's predictions are missing or damaged.
    """
    if not runtime.training or ratio == 0:
        return None
    if hard is None:
        return Negatives(ratio, runtime.seed)
    return Negatives(ratio, runtime.seed, PreviousRun(hard.from_run, hard.min_probability), hard.share)


def _rounded(values: NDArray[np.floating[Any]], draw: Float64) -> Int64:
    """Each value's whole part, and one more with the probability of its fraction."""
    whole = np.floor(values)
    rounded: Int64 = (whole + (draw < values - whole)).astype(np.int64)
    return rounded


def _rank(example: Int64, *keys: Float64) -> Int64:
    """Each row's place among its example's rows in ascending order of the keys, from 0; ``example`` is sorted."""
    order = np.lexsort((*reversed(keys), example))
    rank = np.empty(len(example), np.int64)
    rank[order] = np.arange(len(example)) - np.searchsorted(example, example)
    return rank
