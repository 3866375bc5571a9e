"""Freezing the bottom of the backbone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from qakit.api import ModelError


@dataclass(frozen=True, slots=True)
class Freeze:
    """The embeddings and the first encoder layers keep their values; the rest trains."""

    embeddings: bool
    layers: int

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Freeze the chosen parts; let the rest train.

        Raises:
            ModelError: more layers than the backbone has, or a part that it does not have.
        """
        backbone.requires_grad_(True)
        if self.embeddings:
            self._embeddings(backbone).requires_grad_(False)
        if self.layers:
            blocks = self._blocks(backbone)
            if self.layers > len(blocks):
                raise ModelError(
                    f"adapter 'freeze': layers is {self.layers}, but {type(backbone).__name__} has {len(blocks)}"
                )
            for block in list(blocks)[: self.layers]:
                block.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in backbone.parameters()):
            raise ModelError("adapter 'freeze': nothing of the backbone would train; freeze fewer layers")
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        """Nothing to fold in."""
        return backbone

    @staticmethod
    def _embeddings(backbone: nn.Module) -> nn.Module:
        """The outermost module called ``embeddings``, else the input embedding table."""
        module: nn.Module
        for name, module in backbone.named_modules():
            if name.rpartition(".")[2] == "embeddings":
                return module
        table: object = getattr(backbone, "get_input_embeddings", lambda: None)()
        if isinstance(table, nn.Module):
            return table
        raise ModelError(f"adapter 'freeze': cannot find the embeddings of {type(backbone).__name__}")

    @staticmethod
    def _blocks(backbone: nn.Module) -> nn.ModuleList:
        """The encoder layers: the longest module list that is not inside another one (as a layer's experts are)."""
        lists = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)}
        outer = [module for name, module in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
        if not outer:
            raise ModelError(f"adapter 'freeze': cannot find the encoder layers of {type(backbone).__name__}")
        return max(outer, key=len)
