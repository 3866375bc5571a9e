"""How long a training is, in optimiser steps and in passes over its examples."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile

from qakit.recipe.model import Recipe
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
        """Counted on the first epoch of each window length: with a token budget and redrawn windows, later epochs may
        differ by a few batches."""
        first, epochs, longest = feed.epoch(0), recipe.train.epochs, recipe.train.max_steps
        ends: list[int] = []
        batches = 0.0
        for begin, end in pairwise([*feed.begins, epochs]):
            if longest is not None and ends and ends[-1] >= longest:
                break
            size = len((first if begin == 0 else feed.epoch(int(begin))).batches)
            batches += (end - begin) * size
            for _ in range(math.ceil(end - begin)):
                ends.append((ends[-1] if ends else 0) + size)
                if longest is not None and ends[-1] >= longest:
                    break
        steps = math.ceil(batches - 1e-9)
        if longest is not None:
            steps = min(steps, longest)
        return Plan(max(1, steps), warmup_steps(recipe.train.warmup, max(1, steps)), first, tuple(ends))

    def passed(self, step: int) -> float:
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

    def due(self, every: Every) -> Iterator[int]:
        """The steps, from 1, after which that is done which is done ``every`` so often."""
        if every == "epoch":
            return takewhile(lambda end: end <= self.steps, self.ends)
        return iter(range(int(every), self.steps + 1, int(every)))
