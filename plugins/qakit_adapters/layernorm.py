"""Training the normalisation layers only."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from qakit.api import ModelError


@dataclass(frozen=True, slots=True)
class NormTuning:
    """The gains and biases of the normalisation layers train; the rest keeps its values.

    Sources: Qi et al. 2022, "Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models"; Zhao
    et al. 2024, "Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning".
    """

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Freeze everything but the normalisation layers.

        Raises:
            ModelError: the backbone has none with weights.
        """
        backbone.requires_grad_(False)
        for module in backbone.modules():
            if "norm" in type(module).__name__.lower():  # architectures have classes of their own (RMSNorm)
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(True)
        if not any(parameter.requires_grad for parameter in backbone.parameters()):
            raise ModelError(f"adapter 'layernorm': {type(backbone).__name__} has no normalisation layers with weights")
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        """Nothing to fold in: the normalisation layers are the backbone's own."""
        return backbone
