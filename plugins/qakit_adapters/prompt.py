"""A soft prompt: trained vectors before the first token of a frozen backbone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from qakit.api import ModelError, length_limit
from qakit_adapters import PromptSettings

ADDED = {"attention_mask": 1, "token_type_ids": 0, "global_attention_mask": 1}
"""What the prompt's positions have in each of an encoder's inputs."""


class Prompt:
    """Vectors that the backbone reads before the tokens' embeddings; nothing else of it trains.

    Nothing to merge: no plain backbone reads them.

    Source: Lester, Al-Rfou and Constant 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning".
    """

    def __init__(self, settings: PromptSettings) -> None:
        self.settings = settings

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Wrap the backbone; the vectors begin as the embeddings of tokens drawn at random.

        Raises:
            ModelError: the backbone has no room for windows beside the prompt.
        """
        backbone.requires_grad_(False)
        limit = length_limit(backbone)
        if limit is not None and limit <= self.settings.tokens:
            raise ModelError(f"adapter 'prompt': {self.settings.tokens} vectors fill the backbone's {limit} positions")
        return PromptedEncoder(backbone, self.settings.tokens)


class PromptedEncoder(nn.Module):
    """An encoder that reads P vectors of its own first and does not show what became of them.

    Attributes:
        prompt: (P, E) float32, E the size of the encoder's embeddings.
    """

    def __init__(self, encoder: nn.Module, tokens: int) -> None:
        super().__init__()
        self.encoder = encoder
        table = encoder.get_input_embeddings().weight  # type: ignore[operator]
        chosen = torch.randint(len(table), (tokens,))
        self.prompt = nn.Parameter(table.detach()[chosen.to(table.device)].clone())

    def __getattr__(self, name: str) -> Any:
        """What this module has not is the encoder's: its configuration, its embeddings, gradient checkpointing."""
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
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        """Hidden states (B, T, H) of the T tokens, prompt left out."""
        tokens = len(self.prompt)
        read = self.get_input_embeddings()(input_ids)
        prompt = self.prompt.to(read.dtype).expand(len(read), -1, -1)
        inputs = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
        given = {
            name: nn.functional.pad(value, (tokens, 0), value=ADDED[name])
            for name, value in inputs.items()
            if value is not None
        }
        output = self.encoder(
            inputs_embeds=torch.cat([prompt, read], 1), **given, output_hidden_states=output_hidden_states
        )
        layers = output.hidden_states if output_hidden_states else None
        return BaseModelOutput(
            last_hidden_state=output.last_hidden_state[:, tokens:],
            hidden_states=None if layers is None else tuple(each[:, tokens:] for each in layers),
        )
