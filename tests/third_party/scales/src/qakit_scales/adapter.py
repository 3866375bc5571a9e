"""The adapter; torch is imported when a recipe uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from qakit.api import ModelError, ParameterRule

if TYPE_CHECKING:
    from qakit_scales import ScalesSettings


class Scaled(nn.Module):
    """A linear layer, and a factor for each of its outputs; all begin at 1."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.factor = nn.Parameter(torch.ones_like(linear.weight[:, 0]))

    def forward(self, values: Tensor) -> Tensor:
        """``values`` (..., inputs) -> (..., outputs)."""
        scaled: Tensor = self.linear(values) * self.factor
        return scaled

    @torch.no_grad()
    def plain(self) -> nn.Linear:
        """One layer that gives the same."""
        self.linear.weight.mul_(self.factor[:, None])
        if self.linear.bias is not None:
            self.linear.bias.mul_(self.factor)
        return self.linear


class Scales:
    """Only the factors train."""

    def __init__(self, settings: ScalesSettings) -> None:
        self.targets, self.rate = settings.targets, settings.rate

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Freeze the backbone and wrap the layers.

        Raises:
            ModelError: the backbone has none of them.
        """
        backbone.requires_grad_(False)
        linear = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
        chosen = [name for name in linear if name.rpartition(".")[2] in self.targets]
        if not chosen:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            raise ModelError(f"adapter 'scales': no linear layer is called {' or '.join(self.targets)}; known: {known}")
        for name in chosen:
            backbone.set_submodule(name, Scaled(linear[name]))
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        """The plain backbone, its weights multiplied by the factors."""
        wrapped = {name: module for name, module in backbone.named_modules() if isinstance(module, Scaled)}
        for name, module in wrapped.items():
            backbone.set_submodule(name, module.plain())
        return backbone

    def parameter_rule(self, name: str) -> ParameterRule:
        """No weight decay, which would move the factors towards 0; and a rate of their own."""
        return ParameterRule(decays=False, rate=self.rate)
