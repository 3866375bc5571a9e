"""A first use of an encoder, right after loading: a configuration may say what fails only when it is used."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from qakit.data.template import PairTemplate
from qakit.modeling.device import Precision, autocast

Module = TypeVar("Module", bound=nn.Module)


def sharing_copy(module: Module) -> Module:
    """A copy that shares the parameters; buffers and all else are its own.

    For a trial: some architectures keep for good what they choose at their first texts (BigBird: full attention).
    """
    return copy.deepcopy(module, {id(parameter): parameter for parameter in module.parameters()})


def try_encoder(backbone: nn.Module, template: PairTemplate, *, device: torch.device, precision: Precision) -> None:
    """Run a copy of the encoder on a pair of one token each.

    Raises:
        Exception: whatever the encoder raises.
    """
    trial = sharing_copy(backbone)
    token = template.prefix[:1]  # any will do
    ids = (*template.prefix, *token, *template.middle, *token, *template.suffix)
    inputs = {
        "input_ids": torch.tensor([ids], device=device),
        "attention_mask": torch.ones((1, len(ids)), dtype=torch.int64, device=device),
    }
    if template.has_types:
        types = (*template.prefix_types, template.question_type, *template.middle_types, template.context_type)
        inputs["token_type_ids"] = torch.tensor([(*types, *template.suffix_types)], device=device)
    with torch.no_grad(), autocast(device, precision):
        _ = trial(**inputs).last_hidden_state
