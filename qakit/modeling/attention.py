"""Which implementation of attention an encoder runs with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from qakit.errors import ModelError
from qakit.modeling.architectures import is_offered
from qakit.modeling.configs import encoder_class

Attention = Literal["auto", "eager", "sdpa", "flash_attention_2"]
SDPA = "qakit_sdpa"
"""transformers' ``sdpa``, whose mask is made without looking at it: there, each forward pass of padded windows asks the
device whether the mask hides anything, and waits. qakit knows: windows without padding come without a mask."""


def _mask_unseen(
    *, attention_mask: torch.Tensor | None = None, allow_is_bidirectional_skip: bool = False, **settings: Any
) -> torch.Tensor | None:
    skip = allow_is_bidirectional_skip and attention_mask is None
    return sdpa_mask(attention_mask=attention_mask, allow_is_bidirectional_skip=skip, **settings)


AttentionInterface.register(SDPA, sdpa_attention_forward)
AttentionMaskInterface.register(SDPA, _mask_unseen)


def attention_for(choice: Attention, device: torch.device, config: PretrainedConfig) -> str:
    """The attention implementation: the recipe's, or eager on CPU and SDPA on a GPU where the architecture has it.

    On CPU the backward pass of the fused kernel is the slower one. Flash attention runs on GPUs only, so a run that was
    trained with it predicts on a CPU without. A plugin's encoder has its own.

    Raises:
        ModelError: a plugin's encoder is to have transformers' attention.
    """
    if is_offered(config):
        if choice != "auto":
            raise ModelError(
                f"train.attention is for transformers' encoders; {config.model_type} is a plugin's: leave it out"
            )
        return "eager"
    if choice != "auto" and not (choice == "flash_attention_2" and device.type == "cpu"):
        return SDPA if choice == "sdpa" else choice
    return SDPA if device.type != "cpu" and getattr(encoder_class(config), "_supports_sdpa", False) else "eager"


@contextmanager
def attention_to_score(choice: Attention, device: torch.device, backbone: nn.Module) -> Iterator[None]:
    """The fused kernel for forward passes without a backward one, where :func:`attention_for` has not chosen it on a
    CPU for the sake of that: several times as fast on long windows."""
    config: Any = getattr(backbone, "config", None)
    eager = getattr(config, "_attn_implementation", None) == "eager"
    if choice != "auto" or device.type != "cpu" or not eager or not getattr(backbone, "_supports_sdpa", False):
        yield
        return
    config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        config._attn_implementation = "eager"


def attention_of(config: Any) -> str:
    """What an encoder of this configuration runs with, as recipes name it."""
    name = str(getattr(config, "_attn_implementation", None))
    return "sdpa" if name == SDPA else name
