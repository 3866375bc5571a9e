"""LoRA in PEFT's file format, whatever it began with."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

FACTORS = ("lora_A", "lora_B")


def factors(backbone: nn.Module) -> dict[str, Tensor]:
    """A copy of both factors of every update, under the names of PEFT's files."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(backbone)
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items() if _factor(name)}


def converted(state: Mapping[str, Tensor], config: Any, initial: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Any]:
    """The same model as an update of the *original* weights.

    The frozen weights are ``W - s B0 A0`` where the initialisation took ``s B0 A0`` out of them, so with
    ``B' = [B, -B0]`` and ``A' = [A; A0]`` the model ``W - s B0 A0 + s B A`` is ``W + s B' A'``. Without ``initial``
    state and configuration stay as they are.

    Source: the conversion of Meng et al. 2024, "PiSSA", appendix.
    """
    config = copy.deepcopy(config)
    if not initial:
        return dict(state), config
    joined = dict(state)
    for name, first in initial.items():
        own = state[name].detach().cpu()
        joined[name] = torch.cat([own, first], dim=0) if _factor(name) == "lora_A" else torch.cat([own, -first], dim=1)
    config.init_lora_weights = True
    config.r *= 2
    config.lora_alpha *= math.sqrt(2) if config.use_rslora else 2  # alpha / sqrt(r), or alpha / r, stays
    return joined, config


def _factor(name: str) -> str | None:
    return next((factor for factor in FACTORS if f".{factor}." in name), None)
