"""Full fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class Full:
    """Every parameter trains."""

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Let every parameter train."""
        return backbone.requires_grad_(True)

    def merge(self, backbone: nn.Module) -> nn.Module:
        """Nothing to fold in."""
        return backbone
