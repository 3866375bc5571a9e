"""What the model is fed: the windows and batches of each epoch, the same however many processes read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qakit.data.arrays import Int64
from qakit.data.batch import Batch
from qakit.data.batching import split, training_batches
from qakit.data.collate import AS_LONGEST, Collator, Padding
from qakit.data.encode import EncodedExamples
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.errors import DataError
from qakit.protocols import Preprocessor
from qakit.recipe.model import TrainSection

if TYPE_CHECKING:
    from qakit.training.distill import Teacher

WINDOW_ADDRESSES = 1 << 20
"""How many numbers lie between the addresses of two windows of an example: more than a window has positions."""


class Alteration(Protocol):
    """What is done to the inputs of training batches."""

    def __call__(self, batch: Batch, keys: Int64, *, epoch: int) -> Batch:
        """The batch, altered; ``keys`` (B,): a number for each window, the address of its randomness."""
        ...


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training examples. ``batches`` are rows of ``windows``, one array per optimiser step."""

    number: int
    windows: Windows
    collator: Collator
    batches: Sequence[Int64]
    grouped: bool = False
    """Whether the head wants all windows of an example in one forward pass."""
    alteration: Alteration | None = None
    """What is done to the inputs."""
    keys: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """(W,) each window's address, from :func:`window_keys`; empty where nothing is done to the inputs."""
    teacher: Teacher | None = None
    """What the model learns beside the labels."""

    def batch(self, rows: Int64) -> Batch:
        """The windows in ``rows`` (B,) with their targets, as the model is to see them."""
        batch = self.collator.collate(rows, targets=True)
        if self.teacher is not None:
            batch = replace(batch, soft_targets=self.teacher.targets(batch, self.windows))
        return batch if self.alteration is None else self.alteration(batch, self.keys[rows], epoch=self.number)

    def groups(self, rows: Int64) -> Int64 | None:
        """Which rows must stay together: (B,) the number of each one's example, or None if they need not."""
        return self.windows.example[rows].astype(np.int64) if self.grouped else None


@dataclass(frozen=True, slots=True)
class Feed:
    """Makes epochs. Everything about an epoch follows from (seed, epoch number)."""

    encoded: EncodedExamples
    template: PairTemplate
    preprocessor: Preprocessor
    section: TrainSection
    seed: int
    grouped: bool = False
    """Whether the head wants all windows of an example in one forward pass."""
    alteration: Alteration | None = None
    """What is done to the inputs."""
    teacher: Teacher | None = None
    """What the model learns beside the labels."""
    padding: Padding = AS_LONGEST
    """How wide batches are."""

    def epoch(self, number: int, *, previous: Epoch | None = None) -> Epoch:
        """The windows and batches of one epoch; the windows of ``previous`` serve again if they are not redrawn.

        Raises:
            DataError: the preprocessor made no window at all.
        """
        if previous is not None and not self.preprocessor.redraws:
            windows, collator = previous.windows, previous.collator
        else:
            windows = self.preprocessor.windows(self.encoded, epoch=number)
            collator = Collator(self.encoded, windows, self.template, padding=self.padding)
        if not len(windows):
            raise DataError("the training examples give no window: no answer has a place in its context")
        batches = training_batches(
            collator.lengths,
            batch_size=self.section.batch_size,
            token_budget=self.section.token_budget,
            group_by_length=self.section.group_by_length,
            seed=self.seed,
            epoch=number,
            groups=windows.example.astype(np.int64) if self.grouped else None,
        )
        epoch = Epoch(number, windows, collator, batches, self.grouped, teacher=self.teacher)
        if self.alteration is None:
            return epoch
        return replace(epoch, alteration=self.alteration, keys=window_keys(windows, self.encoded))


def window_keys(windows: Windows, encoded: EncodedExamples) -> Int64:
    """(W,) a number for each window, from its example's key and its place among the example's windows.

    Other examples of the file do not change it.
    """
    order = np.argsort(windows.example, kind="stable")
    of = windows.example[order]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.searchsorted(of, of)
    keys: Int64 = encoded.key[windows.example] + place * WINDOW_ADDRESSES
    return keys


@dataclass(frozen=True, slots=True)
class Part:
    """What one process computes in one forward pass of an optimiser step."""

    rows: Int64
    weight: float
    """Share of the step's windows (of its examples, for a head that reads groups); 0 for a filler that keeps processes
    in step."""
    address: int
    """Number of this part within the step, over all processes: the address of its dropout."""
    units: int
    """Windows (examples) in ``rows``: what cannot be cut further."""


def parts_of(
    rows: Int64,
    *,
    accumulation: int,
    rank: int,
    processes: int,
    groups: Int64 | None = None,
) -> list[Part]:
    """This process's forward passes of a step. All processes get equally many; together they hold each row once.

    Args:
        groups: (B,) rows with the same number are neighbours and stay together; None if every row is for itself.
    """
    pieces = split(rows, parts=accumulation * processes, groups=groups)
    units = [len(piece) if groups is None else len(np.unique(groups[np.isin(rows, piece)])) for piece in pieces]
    filler = rows[:1] if groups is None else rows[groups == groups[0]]
    return [
        Part(pieces[i], units[i] / sum(units), i, units[i]) if units[i] else Part(filler, 0.0, i, 1)
        for i in range(rank * accumulation, (rank + 1) * accumulation)
        if units[i] or processes > 1
    ]
