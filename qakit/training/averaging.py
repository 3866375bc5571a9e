"""Averages of the weights: what is evaluated and kept in the place of the weights that train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from qakit.errors import RunError
from qakit.recipe.model import TrainSection
from qakit.recipe.section import Every
from qakit.recipe.tricks import EmaSection, SwaSection

TAKEN = "taken"
"""Beside the parameters, the number of updates that moved the average; no parameter is called so, theirs have dots."""


class Rule(Protocol):
    """How an average follows the weights."""

    def share(self, step: int, *, position: float, ends_epoch: bool, taken: int) -> float:
        """How much of the way to the weights after optimiser step ``step`` (from 1) the average goes: 0 to 1.

        ``position``: where in the recipe's schedule that is, in its steps. ``taken``: the updates before this one with
        a share above 0.
        """
        ...


class WeightAverage:
    """An average of the trainable weights. It is what is evaluated and kept; training continues with the weights."""

    def __init__(self, model: nn.Module, rule: Rule) -> None:
        self._rule = rule
        self._taken = torch.zeros((), dtype=torch.int64)
        self._weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._average = {name: p.detach().clone() for name, p in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int, *, position: float | None = None, ends_epoch: bool) -> None:
        """Take in the weights after optimiser step ``step`` (from 1).

        ``position``: where in the recipe's schedule that is, in its steps; by default there.
        """
        at = step if position is None else position
        share = self._rule.share(step, position=at, ends_epoch=ends_epoch, taken=int(self._taken))
        if share:  # with 1 the average becomes an exact copy
            torch._foreach_lerp_(list(self._average.values()), list(self._weights.values()), share)
            self._taken += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the model has the average as its weights, if there is one yet."""
        if not self._taken:
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def tensors(self) -> dict[str, Tensor]:
        """The average by parameter name, and :data:`TAKEN`, where they lie."""
        return {**self._average, TAKEN: self._taken}

    def state(self) -> dict[str, Tensor]:
        """The same on the CPU, for a checkpoint."""
        return {name: value.cpu().contiguous() for name, value in self.tensors().items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue a checkpoint's average.

        Raises:
            RunError: it is of other parameters.
        """
        held = self.tensors()
        if set(state) != set(held):
            raise RunError("the checkpoint's average is of other parameters than this model trains")
        for name, value in state.items():
            held[name].copy_(value)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            held = weight.detach().clone()
            weight.copy_(self._average[name])
            self._average[name].copy_(held)


@dataclass(frozen=True, slots=True)
class Exponential:
    """An exponential moving average: ``average += (1 - decay) * (weights - average)`` at every step.

    The first steps count less of the past, ``min(decay, (1 + n) / (10 + n))`` after n updates, so that the fresh
    weights of the beginning are soon forgotten.

    Source: Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the growing decay as in
    TensorFlow's ``ExponentialMovingAverage(num_updates=...)``.
    """

    section: EmaSection

    def share(self, step: int, *, position: float, ends_epoch: bool, taken: int) -> float:  # noqa: ARG002 (the protocol's)
        """1 - decay."""
        return 1 - min(self.section.decay, (1 + step) / (10 + step))


@dataclass(frozen=True, slots=True)
class Equal:
    """The mean of the weights after chosen steps of the training's last part.

    Nothing needs to be computed anew with the mean: these models normalise layers, not batches.

    Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization" (stochastic weight
    averaging).
    """

    section: SwaSection
    steps: int
    """Of the whole training."""

    def share(self, step: int, *, position: float, ends_epoch: bool, taken: int) -> float:
        """1 / n for the n-th of these steps, else 0."""
        counts = position > averaged_from(self.section, self.steps)
        return 1 / (taken + 1) if counts and is_due(self.section.every, step, ends_epoch=ends_epoch) else 0.0


def average_of(model: nn.Module, section: TrainSection, *, steps: int) -> WeightAverage | None:
    """The average that a recipe asks for, if any; ``steps`` is the length of the whole training."""
    if section.ema is not None:
        return WeightAverage(model, Exponential(section.ema))
    return None if section.swa is None else WeightAverage(model, Equal(section.swa, steps))


def averaged_from(section: SwaSection, steps: int) -> int:
    """After how many of ``steps`` optimiser steps the part begins whose weights are averaged."""
    return int(section.start * steps)


def is_due(every: Every, step: int, *, ends_epoch: bool) -> bool:
    """Whether what is done ``every`` so often is done after this step (from 1)."""
    return ends_epoch if every == "epoch" else step % int(every) == 0
