"""What the model is fed: the windows and batches of each epoch, the same however many processes read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qakit.data.batching import split, training_batches
from qakit.data.collate import Collator
from qakit.data.encode import EncodedExamples
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.errors import DataError
from qakit.protocols import Preprocessor
from qakit.recipe.model import TrainSection


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training examples. ``batches`` are rows of ``windows``, one array per optimiser step."""

    number: int
    windows: Windows
    collator: Collator
    batches: Sequence[NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Feed:
    """Makes epochs. Everything about an epoch follows from (seed, epoch number)."""

    encoded: EncodedExamples
    template: PairTemplate
    preprocessor: Preprocessor
    section: TrainSection
    seed: int

    def epoch(self, number: int, *, previous: Epoch | None = None) -> Epoch:
        """The windows and batches of one epoch; the windows of ``previous`` serve again if they are not redrawn.

        Raises:
            DataError: the preprocessor made no window at all.
        """
        if previous is not None and not self.preprocessor.redraws:
            windows, collator = previous.windows, previous.collator
        else:
            windows = self.preprocessor.windows(self.encoded, epoch=number)
            collator = Collator(self.encoded, windows, self.template)
        if not len(windows):
            raise DataError("the training examples give no window: no answer has a place in its context")
        batches = training_batches(
            collator.lengths,
            batch_size=self.section.batch_size,
            token_budget=self.section.token_budget,
            group_by_length=self.section.group_by_length,
            seed=self.seed,
            epoch=number,
        )
        return Epoch(number, windows, collator, batches)


@dataclass(frozen=True, slots=True)
class Part:
    """What one process computes in one forward pass of an optimiser step."""

    rows: NDArray[np.int64]
    weight: float
    """Share of the step's windows; 0 for a filler that keeps processes in step."""
    address: int
    """Number of this part within the step, over all processes: the address of its dropout."""


def parts_of(rows: NDArray[np.int64], *, accumulation: int, rank: int, processes: int) -> list[Part]:
    """This process's forward passes of a step. All processes get equally many; together they hold each row once."""
    pieces = split(rows, parts=accumulation * processes)
    mine = range(rank * accumulation, (rank + 1) * accumulation)
    if processes == 1:
        mine_filled = [i for i in mine if len(pieces[i])]
        return [Part(pieces[i], len(pieces[i]) / len(rows), i) for i in mine_filled]
    return [Part(pieces[i] if len(pieces[i]) else rows[:1], len(pieces[i]) / len(rows), i) for i in mine]
