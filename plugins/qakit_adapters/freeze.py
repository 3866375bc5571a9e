"""Freezing the bottom of the backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from qakit.api import ModelError, backbone_parts, layer_count

if TYPE_CHECKING:
    from qakit_adapters import FreezeSettings


@dataclass(frozen=True, slots=True)
class Freeze:
    """The embeddings and the first encoder layers keep their values; the rest trains."""

    settings: FreezeSettings

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Freeze the chosen parts; let the rest train.

        Raises:
            ModelError: more layers than the backbone has, or a part that it does not have.
        """
        parts = backbone_parts(backbone)
        if self.settings.embeddings and "embeddings" not in parts.values():
            raise ModelError(f"adapter 'freeze': cannot find the embeddings of {type(backbone).__name__}")
        self._check_layers(layer_count(parts), type(backbone).__name__)
        for name, parameter in backbone.named_parameters():
            part, chosen = parts[name], self.settings
            frozen = part < chosen.layers if isinstance(part, int) else chosen.embeddings and part == "embeddings"
            parameter.requires_grad_(not frozen)
        if not any(parameter.requires_grad for parameter in backbone.parameters()):
            raise ModelError("adapter 'freeze': nothing of the backbone would train; freeze fewer layers")
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        """Nothing to fold in."""
        return backbone

    def _check_layers(self, held: int, backbone: str) -> None:
        if self.settings.layers and not held:
            raise ModelError(f"adapter 'freeze': cannot find the encoder layers of {backbone}")
        if self.settings.layers > held:
            raise ModelError(f"adapter 'freeze': layers is {self.settings.layers}, but {backbone} has {held}")
