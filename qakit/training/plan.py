"""How long a training is, in optimiser steps and in passes over its examples."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from qakit.recipe.model import Recipe, TrainSection
from qakit.recipe.section import Every
from qakit.training.feed import Epoch, Feed
from qakit.training.optim import warmup_steps


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the training is."""

    steps: int
    warmup: int
    first: Epoch
    ends: tuple[int, ...]
    """After how many steps each epoch ends, up to the one in which the training does."""

    @staticmethod
    def of(recipe: Recipe, feed: Feed) -> Plan:
        """Counted on the first epoch: with a token budget and redrawn windows, others may differ by a few batches."""
        first, longest = feed.epoch(0), recipe.train.max_steps
        size = len(first.batches)
        steps = max(1, math.ceil(recipe.train.epochs * size - 1e-9))
        steps = steps if longest is None else min(steps, longest)
        ends = tuple(size * (epoch + 1) for epoch in range(math.ceil(steps / size)))
        return Plan(steps, warmup_steps(recipe.train.warmup, steps), first, ends)

    def passed(self, step: float) -> float:
        """Passes over the training examples after ``step`` steps."""
        whole = bisect_right(self.ends, step)
        begin = self.ends[whole - 1] if whole else 0
        return whole + (step - begin) / (self.ends[whole] - begin) if whole < len(self.ends) else float(whole)

    @property
    def epochs(self) -> float:
        """Passes over the training examples when all is done."""
        return self.passed(self.steps)

    @property
    def last_begins(self) -> float:
        """Passes over the training examples when the last step begins."""
        return self.passed(self.steps - 1)

    def settled(self, section: TrainSection) -> TrainSection:
        """With ``evaluations`` as steps between two of them."""
        if section.evaluations is None:
            return section
        return section.model_copy(update={"evaluate_every": max(1, self.steps // section.evaluations)})

    def due(self, every: Every) -> Iterator[int]:
        """The steps, from 1, after which that is done which is done ``every`` so often."""
        return takewhile(lambda end: end <= self.steps, self.moments(every))

    def moments(self, every: Every) -> Sequence[int]:
        """The same, perhaps with one after the last step."""
        return self.ends if every == "epoch" else range(int(every), self.steps + 1, int(every))
