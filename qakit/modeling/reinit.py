"""Fresh weights for the top layers of a pretrained backbone."""

from __future__ import annotations

import copy

import torch
from torch import nn
from transformers import PretrainedConfig

from qakit.errors import ModelError
from qakit.modeling.backbones import from_config
from qakit.modeling.layers import backbone_parts, layer_count
from qakit.randomness import derive_seed


def reinitialise_top(
    backbone: nn.Module, config: PretrainedConfig, layers: int, *, seed: int, trust_remote_code: bool = False
) -> dict[str, nn.Parameter]:
    """Give the top encoder layers the weights that a fresh model of this configuration has there.

    The model's own initialiser makes them, from an address of the seed: a layer gets the same weights however many
    layers are made anew, and nothing else is drawn differently. Pretraining has made the top layers good at another
    task; few examples are not enough to undo that.

    Args:
        backbone: as its adapter has not yet seen it; changed in place.
        config: its configuration.
        layers: how many, counted from the top.
        seed: the recipe's.
        trust_remote_code: whether the architecture's code may come from the hub.

    Returns:
        The parameters with fresh weights, by name.

    Raises:
        ModelError: the backbone has fewer layers, or they cannot be told apart.

    Source: Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning".
    """
    parts = backbone_parts(backbone)
    held = layer_count(parts)
    if held == 0:
        raise ModelError(f"backbone.reinit_layers: cannot find the encoder layers of {type(backbone).__name__}")
    if layers > held:
        raise ModelError(
            f"backbone.reinit_layers is {layers}, but {type(backbone).__name__} has {held} layers of its own"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "fresh layers"))
        fresh = dict(from_config(copy.deepcopy(config), trust_remote_code=trust_remote_code).named_parameters())
    chosen = {
        name: parameter
        for name, parameter in backbone.named_parameters()
        if isinstance(part := parts[name], int) and part >= held - layers
    }
    with torch.no_grad():
        for name, parameter in chosen.items():
            parameter.copy_(fresh[name])
    return chosen


def check_trained(fresh: dict[str, nn.Parameter], *, adapter: str) -> None:
    """Refuse an adapter that would leave fresh weights as they are: random for ever.

    Raises:
        ModelError: names one of the frozen weights.
    """
    frozen = [name for name, parameter in fresh.items() if not parameter.requires_grad]
    if frozen:
        raise ModelError(
            f"the adapter {adapter!r} freezes weights that backbone.reinit_layers has made random ({frozen[0]}); "
            "use the adapter full, or freeze fewer layers, or leave reinit_layers out"
        )
