"""BitFit: train the biases only (Ben Zaken, Goldberg and Ravfogel 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from qakit.api import ModelError


@dataclass(frozen=True, slots=True)
class BitFit:
    """Only biases train; every weight keeps its pretrained value."""

    which: Literal["all", "attention", "mlp"]

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Freeze everything but the chosen biases.

        Raises:
            ModelError: the backbone has none (ModernBERT, for one, has no biases).
        """
        chosen = [name for name, _ in backbone.named_parameters() if self._trains(name)]
        if not chosen:
            where = "" if self.which == "all" else f" in its {self.which} blocks"
            raise ModelError(
                f"adapter 'bitfit': {type(backbone).__name__} has no biases{where}; use 'full', or another backbone"
            )
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(name in chosen)
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        """Nothing to fold in: the biases are the backbone's own."""
        return backbone

    def _trains(self, name: str) -> bool:
        parts = name.split(".")
        if not parts[-1].endswith("bias"):  # DeBERTa calls some of them q_bias and v_bias
            return False
        attention = any("attention" in part or part in ("attn", "self_attn") for part in parts)
        block = any(part.isdigit() for part in parts)  # encoder layers are numbered; embeddings and poolers are not
        return {"all": True, "attention": attention, "mlp": block and not attention}[self.which]
