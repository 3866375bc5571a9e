"""Which implementation of attention an encoder runs with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, NoReturn

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from qakit.errors import ModelError, UsageError
from qakit.modeling.architectures import is_offered
from qakit.modeling.configs import encoder_class

logger = logging.getLogger(__name__)

Attention = Literal["auto", "eager", "sdpa", "flash_attention_2", "flash_deberta"]
FOR_GPUS = ("flash_attention_2", "flash_deberta")
"""Kernels that run nowhere else."""
FLASH_SINCE = (8, 0)
"""The compute capability that flash attention 2 needs: Ampere's."""
DEBERTA = "deberta-v2"
"""The ``model_type`` of DeBERTa v2 and v3."""
SDPA = "qakit_sdpa"
"""transformers' ``sdpa``, whose mask is made without looking at it: there, each forward pass of padded windows asks the
device whether the mask hides anything, and waits. qakit knows: windows without padding come without a mask."""

FUSED_DEBERTA = "qakit_fused_deberta"
"""DeBERTa's modules with the forward of :mod:`qakit.modeling.fused_deberta`."""
IN_RECIPES = {SDPA: "sdpa", FUSED_DEBERTA: "flash_deberta"}
"""What a recipe calls our own."""


def _mask_unseen(
    *, attention_mask: torch.Tensor | None = None, allow_is_bidirectional_skip: bool = False, **settings: Any
) -> torch.Tensor | None:
    skip = allow_is_bidirectional_skip and attention_mask is None
    return sdpa_mask(attention_mask=attention_mask, allow_is_bidirectional_skip=skip, **settings)


def _never(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("DeBERTa's modules have their own attention")


AttentionInterface.register(FUSED_DEBERTA, _never)  # transformers refuses names that it does not know
AttentionInterface.register(SDPA, sdpa_attention_forward)
AttentionMaskInterface.register(SDPA, _mask_unseen)


def attention_for(choice: Attention, device: torch.device, config: PretrainedConfig) -> str:
    """The attention implementation: the recipe's, or SDPA on a GPU where the architecture has it, else eager.

    On CPU the backward pass of the fused kernel is the slower one; on Apple's GPUs neither was measured. Kernels for
    CUDA run there only, so a run that was trained with one predicts elsewhere without, and says so. A plugin's encoder
    has its own.

    Raises:
        ModelError: a plugin's encoder is to have transformers' attention, or another encoder DeBERTa's.
    """
    if is_offered(config):
        if choice != "auto":
            raise ModelError(
                f"train.attention is for transformers' encoders; {config.model_type} is a plugin's: leave it out"
            )
        return "eager"
    if choice == "flash_deberta" and config.model_type != DEBERTA:
        raise ModelError(
            f"train.attention: flash_deberta is for DeBERTa v2 and v3, and this backbone is of the architecture "
            f"{config.model_type}: leave it out"
        )
    if choice == "flash_attention_2" and not getattr(encoder_class(config), "_supports_flash_attn", True):
        raise ModelError(
            f"train.attention: transformers has no flash_attention_2 for the architecture {config.model_type}: leave "
            "it out"
        )
    if choice in FOR_GPUS and device.type != "cuda":
        _tell_of_cpu(choice)
    elif choice != "auto":
        return next((ours for ours, named in IN_RECIPES.items() if named == choice), choice)
    return SDPA if device.type == "cuda" and getattr(encoder_class(config), "_supports_sdpa", False) else "eager"


@cache
def _tell_of_cpu(choice: str) -> None:
    logger.warning("train.attention: %s runs on CUDA GPUs only: here the encoder goes without it", choice)


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


def need_kernel(config: PretrainedConfig) -> None:
    """Make sure, before a model is made, that the card can run the flash attention that :func:`attention_for` has
    chosen, if it has, and that its package is there: transformers would look for another one on the hub.

    Raises:
        UsageError: it cannot, or is not.
    """
    if config._attn_implementation != "flash_attention_2":
        return
    asked = "train.attention: flash_attention_2"
    if torch.cuda.is_available() and (found := torch.cuda.get_device_capability()) < FLASH_SINCE:
        raise UsageError(
            f"{asked} needs a GPU of compute capability {FLASH_SINCE[0]}.{FLASH_SINCE[1]} or newer (A100, L4, H100), "
            f"and this {torch.cuda.get_device_name()} has {found[0]}.{found[1]}: set it to auto"
        )
    if find_spec("flash_attn") is None:
        raise UsageError(
            f"{asked} needs the package 'flash-attn': pip install flash-attn --no-build-isolation, or set it to auto"
        )


def use_kernel(model: nn.Module, config: PretrainedConfig) -> None:
    """Give a model the kernel of another package that :func:`attention_for` has chosen, if it has.

    Raises:
        UsageError: the package is not installed.
    """
    if config._attn_implementation == "flash_attention_2":
        part: Any
        for part in model.modules():
            if hasattr(part, "deterministic_flash_attn"):
                part.deterministic_flash_attn = True  # a resumed training repeats the bits
    if config._attn_implementation == FUSED_DEBERTA:
        from qakit.modeling.fused_deberta import fuse

        fuse(model)


def attention_of(config: Any) -> str:
    """What an encoder of this configuration runs with, as recipes name it."""
    name = str(getattr(config, "_attn_implementation", None))
    return IN_RECIPES.get(name, name)
