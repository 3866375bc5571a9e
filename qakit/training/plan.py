"""How long a training is, in optimiser steps and in passes over its examples.

And how much of its schedule fits into the time that is left: where it ends, and which evaluations are made on the way.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

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


EVALUATING = 0.2
"""Share of the steps that evaluations on the way may cost, where not everything fits."""


class Pace(NamedTuple):
    """How the rest of a schedule is gone through: from a step on evenly, and to its end.

    What the recipe plans by the training's length (rates, freezing, averages) goes by :meth:`position`, so it is
    continuous where the pace changes, and whole at the end.
    """

    since: int
    """Optimiser steps done when it was set."""
    position: float
    """Where in the recipe's schedule that was, in its steps."""
    steps: int
    """Steps of the whole training."""
    every: int = 1
    """Every so many-th of the recipe's evaluations is made, and in any case the last one."""

    @staticmethod
    def of(plan: Plan, noted: Sequence[float] | None) -> Pace:
        """The one that a checkpoint has noted; by default the recipe's own."""
        return Pace(0, 0, plan.steps) if noted is None else Pace(*noted)  # type: ignore[arg-type]

    def is_own(self, plan: Plan) -> bool:
        """Whether each step is the recipe's own."""
        return self.steps == plan.steps and self.since == self.position

    def leaves_out(self, plan: Plan) -> bool:
        """Whether steps or evaluations of the recipe are left out."""
        return self.steps < plan.steps or self.every > 1

    def at(self, step: int, plan: Plan) -> float:
        """The position after ``step`` optimiser steps: at the last one the end of the recipe's schedule."""
        if self.is_own(plan):
            return step
        if step >= self.steps:
            return plan.steps
        return self.position + (step - self.since) * (plan.steps - self.position) / (self.steps - self.since)

    def changed(self, step: int, plan: Plan, *, steps: int, every: int) -> Pace:
        """Another one from ``step`` on, at the same position."""
        return Pace(step, self.at(step, plan), steps, every)


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that the parts of a training take."""

    step: float
    evaluation: float
    checkpoint: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the way from a step to others takes."""

    plan: Plan
    section: TrainSection
    costs: Costs
    step: int
    """Steps that are done."""

    def seconds(self, steps: int, every: int) -> float:
        """Up to the end of step ``steps``, without the evaluation that is made there."""
        costs, walked = self.costs, steps - self.step
        evaluating = self.evaluations(steps, every) * (costs.evaluation + costs.checkpoint)
        saving = self._between(self.plan.moments(self.section.checkpoint_every), steps, 1) * costs.checkpoint
        return walked * costs.step + evaluating + saving

    def evaluations(self, steps: int, every: int) -> int:
        """How many there are on the way, of which every so many-th is made."""
        return self._between(self.plan.moments(self.section.evaluate_every), steps, every)

    def longest(self, left: float, every: int) -> int:
        """The most steps of the training that ``left`` seconds suffice for, at least those that are done."""
        choices = range(self.step, self.plan.steps + 1)
        return choices[max(0, bisect_right(choices, left, key=lambda steps: self.seconds(steps, every)) - 1)]

    def fitting(self, left: float) -> tuple[int, int]:
        """(steps, every): all of the recipe if ``left`` seconds suffice; else evaluations are left out until they cost
        no more than :data:`EVALUATING` of the steps that there could be without them."""
        if self.seconds(self.plan.steps, 1) <= left:
            return self.plan.steps, 1
        none = 1 + len(self.plan.moments(self.section.evaluate_every))
        enough = (1 - EVALUATING) * (self.longest(left, none) - self.step)
        for every in range(1, none):
            if (steps := self.longest(left, every)) - self.step >= enough:
                return steps, every
        return self.longest(left, none), none

    def _between(self, due: Sequence[int], steps: int, every: int) -> int:
        """How many of these moments come before the end of step ``steps``, of all every so many-th; what is due after
        the steps that are done is still to do."""
        return max(0, bisect_left(due, steps) // every - bisect_left(due, self.step) // every)
