"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from qakit.errors import RunError
from qakit.recipe.model import EmaSection


class MovingAverage:
    """The average of the trainable weights over the last steps: ``average += (1 - decay) * (weights - average)``.

    The first steps count less of the past, ``min(decay, (1 + n) / (10 + n))`` after n updates, so that the fresh
    weights of the beginning are soon forgotten. The average is what is evaluated and kept; training goes on with the
    weights.

    Source: Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the growing decay as in
    TensorFlow's ``ExponentialMovingAverage(num_updates=...)``.
    """

    def __init__(self, model: nn.Module, section: EmaSection) -> None:
        self._section = section
        self._weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._average = {name: p.detach().clone() for name, p in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step ``step`` (from 1)."""
        decay = min(self._section.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self._average.values()), list(self._weights.values()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the model has the average as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def tensors(self) -> dict[str, Tensor]:
        """The average by parameter name, where it lies."""
        return self._average

    def state(self) -> dict[str, Tensor]:
        """The average by parameter name, on the CPU, for a checkpoint."""
        return {name: value.cpu().contiguous() for name, value in self._average.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on with a checkpoint's average.

        Raises:
            RunError: it is of other parameters.
        """
        if set(state) != set(self._average):
            raise RunError("the checkpoint's moving average is of other parameters than this model trains")
        for name, value in state.items():
            self._average[name].copy_(value)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            held = weight.detach().clone()
            weight.copy_(self._average[name])
            self._average[name].copy_(held)
