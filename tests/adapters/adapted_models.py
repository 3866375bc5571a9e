"""Small models that train in a blink, with any adapter and any head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from qakit.modeling.assemble import Assembled
from qakit.recipe.model import Recipe
from qakit.testing import made_up_batch
from qakit.training.optim import build_optimiser, set_rates

CPU = torch.device("cpu")
CLASSES = ("no", "yes")
BATCH = made_up_batch()

Make = Callable[..., tuple[Recipe, Assembled]]


SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "dim": 16,
    "embedding_size": 16,
    "num_hidden_layers": 2,
    "n_layers": 2,
    "num_attention_heads": 2,
    "n_heads": 2,
    "intermediate_size": 16,
    "hidden_dim": 16,
    "input_embedding_size": 16,
    "output_embedding_size": 16,
    "attention_window": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
    "attention_type": "original_full",
    "relative_attention": True,
}


def small(model_type: str) -> nn.Module:
    """An encoder of two layers with random weights."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type)
    known = {key: value for key, value in SMALL.items() if hasattr(config, key)}
    model: nn.Module = AutoModel.from_config(AutoConfig.for_model(model_type, **known)).eval()
    return model


def train(assembled: Assembled, recipe: Recipe, *, steps: range, optimiser: Any = None) -> Any:
    """Optimiser steps on one batch, each with dropout from its own address; returns the optimiser."""
    optimiser = optimiser or build_optimiser(assembled.model, recipe.train, assembled.adapter)
    assembled.model.train()
    for step in steps:
        set_rates(optimiser, 1.0)
        torch.manual_seed(step)
        loss = assembled.model(BATCH).loss
        assert loss is not None
        torch.autograd.backward(loss)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return optimiser


@torch.inference_mode()
def scores(assembled: Assembled) -> dict[str, torch.Tensor]:
    """The head's scores, without dropout."""
    return dict(assembled.model.eval()(made_up_batch(targets=False)).scores)
