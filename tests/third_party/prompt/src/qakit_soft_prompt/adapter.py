"""The adapter; torch is imported when a recipe uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from qakit.api import BackboneOutput, length_limit

if TYPE_CHECKING:
    from qakit_soft_prompt import SoftPromptSettings


class SoftPrompt:
    """Only the vectors train. It has no `merge`: no plain backbone reads them, so a run keeps the wrapped one."""

    def __init__(self, settings: SoftPromptSettings) -> None:
        self.vectors = settings.vectors

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Freeze the backbone and put the vectors before it."""
        return Prompted(backbone.requires_grad_(False), self.vectors)


class Prompted(nn.Module):
    """An encoder that reads P vectors of its own first, and does not show what became of them."""

    def __init__(self, encoder: nn.Module, vectors: int) -> None:
        super().__init__()
        self.encoder = encoder
        table = encoder.get_input_embeddings().weight  # type: ignore[operator]
        self.prompt = nn.Parameter(torch.randn(vectors, table.shape[1], device=table.device) * table.std())

    def __getattr__(self, name: str) -> Any:
        """What this module has not is the encoder's, such as its configuration."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("encoder"), name)

    @property
    def length_limit(self) -> int | None:
        """Tokens that there is room for beside the prompt; None without a limit."""
        limit = length_limit(self.encoder)
        return None if limit is None else limit - len(self.prompt)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> BackboneOutput:
        """``input_ids`` and its like (B, T) -> hidden states (B, T, H) of the tokens."""
        before = len(self.prompt)
        tokens = self.encoder.get_input_embeddings()(input_ids)  # type: ignore[operator]
        given = {
            name: functional.pad(value, (before, 0), value=added)
            for name, value, added in (("attention_mask", attention_mask, 1), ("token_type_ids", token_type_ids, 0))
            if value is not None
        }
        prompt = self.prompt.to(tokens.dtype).expand(len(tokens), -1, -1)
        output = self.encoder(inputs_embeds=torch.cat([prompt, tokens], 1), **given)
        return BackboneOutput(output.last_hidden_state[:, before:])
