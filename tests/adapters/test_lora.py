"""LoRA on tiny encoders of several architectures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapted_models import small
from pydantic import ValidationError
from torch import nn
from transformers import FunnelConfig, FunnelModel

from qakit.api import ModelError, NoRuntime
from qakit.testing import check_adapter, check_component
from qakit_adapters import LORA, LoraSettings
from qakit_adapters.lora import ATTENTION


def applied(backbone: nn.Module, **settings: Any) -> nn.Module:
    return LORA.build(LoraSettings(**settings), NoRuntime()).apply(backbone)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rank": 2, "alpha": 4, "rslora": True},
        {"dora": True},
        {"targets": "linear"},
        *({"init": init, "rank": 4} for init in ("gaussian", "pissa", "olora", "orthogonal")),
        *({"init": init, "rank": 4, "dora": True, "rslora": True} for init in ("pissa", "olora", "orthogonal")),
    ],
    ids=str,
)
def test_keeps_the_contract_of_adapters(settings: dict[str, Any]) -> None:
    check_component("adapters", LORA)
    check_adapter(LORA, LoraSettings(**settings))


@pytest.mark.parametrize("model_type", sorted(ATTENTION))
def test_every_architecture_of_the_table_gets_updates_in_each_layer(model_type: str) -> None:
    backbone = small(model_type)
    ids = torch.arange(3, 11)[None]
    with torch.inference_mode():
        before = backbone(input_ids=ids).last_hidden_state
    adapted = applied(backbone, rank=4)
    trains = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    assert trains
    assert all("lora_" in name for name in trains)
    modules = {name.split(".lora_")[0] for name in trains}
    shared = 1 if model_type == "albert" else 2  # ALBERT has one layer, used over and over
    assert len(modules) == shared * len(ATTENTION[model_type])
    with torch.inference_mode():
        torch.testing.assert_close(adapted.eval()(input_ids=ids).last_hidden_state, before)  # updates begin at zero


def test_the_number_of_parameters_follows_the_rank() -> None:
    counts = [
        sum(p.numel() for p in applied(small("bert"), rank=rank).parameters() if p.requires_grad) for rank in (1, 4)
    ]
    assert counts == [2 * 2 * rank * (16 + 16) for rank in (1, 4)]


def test_an_unknown_architecture_says_what_to_name() -> None:
    backbone = FunnelModel(FunnelConfig(vocab_size=40, block_sizes=[1], d_model=16, n_head=2, d_head=8, d_inner=16))
    with pytest.raises(ModelError, match=r"projections of 'funnel' are not known; name them in `targets`.*k_head"):
        applied(backbone)
    assert applied(backbone, targets=["k_head"])


def test_names_that_are_not_there_are_an_error() -> None:
    with pytest.raises(ModelError, match=r"BertModel has no linear module called q_proj; it has dense, key, query"):
        applied(small("bert"), targets=["q_proj"])


def test_a_backbone_without_linear_layers_is_named_as_that() -> None:
    for targets in ("attention", "linear", ["query"]):
        with pytest.raises(ModelError, match="Embedding has no linear layer to update; choose another adapter"):
            applied(nn.Embedding(3, 4), targets=targets)


def test_no_targets_are_refused() -> None:
    with pytest.raises(ValidationError, match="targets names no module"):
        LoraSettings(targets=[])
