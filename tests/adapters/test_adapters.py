"""Which parameters each adapter leaves trainable, on a tiny encoder made on the spot."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from transformers import BertConfig, BertModel, ModernBertConfig, ModernBertModel

from qakit.api import ModelError, NoRuntime, NoSettings
from qakit.registry import load_registry
from qakit.testing import check_adapter, check_component
from qakit_adapters import BITFIT, FREEZE, FULL, LAYERNORM, BitFitSettings, FreezeSettings


@pytest.fixture
def backbone() -> BertModel:
    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)
    return BertModel(config, add_pooling_layer=False)


def trainable(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", load_registry().names("adapters"))
def test_every_adapter_keeps_the_contract(name: str) -> None:
    component = load_registry().get("adapters", name).component
    check_component("adapters", component)
    check_adapter(component, component.settings())


def test_full_trains_everything_even_what_was_frozen_before(backbone: BertModel) -> None:
    backbone.requires_grad_(False)
    adapted = FULL.build(NoSettings(), NoRuntime()).apply(backbone)
    assert trainable(adapted) == {name for name, _ in backbone.named_parameters()}


def test_bitfit_trains_all_biases_and_nothing_else(backbone: BertModel) -> None:
    adapted = BITFIT.build(BitFitSettings(), NoRuntime()).apply(backbone)
    assert trainable(adapted) == {name for name, _ in backbone.named_parameters() if name.endswith("bias")}
    assert len(trainable(adapted)) > 10


def test_bitfit_splits_each_layer_into_attention_and_mlp(backbone: BertModel) -> None:
    attention = trainable(BITFIT.build(BitFitSettings(which="attention"), NoRuntime()).apply(backbone))
    mlp = trainable(BITFIT.build(BitFitSettings(which="mlp"), NoRuntime()).apply(backbone))
    assert "encoder.layer.0.attention.self.query.bias" in attention
    assert "encoder.layer.0.intermediate.dense.bias" in mlp
    assert not attention & mlp
    layers = {name for name, _ in backbone.named_parameters() if name.startswith("encoder") and name.endswith("bias")}
    assert attention | mlp == layers


def test_bitfit_takes_names_of_its_own(backbone: BertModel) -> None:
    settings = BitFitSettings(which=["query", "intermediate", "attention.output"])
    chosen = trainable(BITFIT.build(settings, NoRuntime()).apply(backbone))
    per_layer = {
        "attention.self.query.bias",
        "intermediate.dense.bias",
        "attention.output.dense.bias",
        "attention.output.LayerNorm.bias",
    }
    assert chosen == {f"encoder.layer.{layer}.{name}" for layer in range(3) for name in per_layer}


@pytest.mark.parametrize("wrong", ["q_proj", "quer", "output.attention", "weight"])
def test_bitfit_names_that_fit_no_bias_are_an_error(backbone: BertModel, wrong: str) -> None:
    adapter = BITFIT.build(BitFitSettings(which=["query", wrong]), NoRuntime())
    with pytest.raises(ModelError, match=rf"BertModel has no bias of {wrong}; it has those of LayerNorm, dense, key"):
        adapter.apply(backbone)


def test_bitfit_with_no_names_is_an_error() -> None:
    with pytest.raises(ValidationError, match="which names no bias"):
        BitFitSettings(which=[])


def test_layernorm_trains_gains_and_biases_and_nothing_else(backbone: BertModel) -> None:
    adapted = LAYERNORM.build(NoSettings(), NoRuntime()).apply(backbone)
    assert trainable(adapted) == {name for name, _ in backbone.named_parameters() if ".LayerNorm." in name}
    assert len(trainable(adapted)) == 2 * (1 + 2 * 3)


def test_layernorm_refuses_a_backbone_without() -> None:
    with pytest.raises(ModelError, match="Linear has no normalisation layers with weights"):
        LAYERNORM.build(NoSettings(), NoRuntime()).apply(nn.Linear(2, 2))


def test_bitfit_refuses_a_backbone_without_biases() -> None:
    config = ModernBertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0),
    )
    with pytest.raises(ModelError, match=r"ModernBertModel has no biases; use 'full'"):
        BITFIT.build(BitFitSettings(), NoRuntime()).apply(ModernBertModel(config))


@pytest.mark.parametrize(("embeddings", "layers"), [(True, 0), (True, 2), (False, 1)])
def test_freeze_stops_the_bottom(backbone: BertModel, *, embeddings: bool, layers: int) -> None:
    adapter = FREEZE.build(FreezeSettings(embeddings=embeddings, layers=layers), NoRuntime())
    names = trainable(adapter.apply(backbone))
    assert any(name.startswith("embeddings.") for name in names) is not embeddings
    for layer in range(3):
        assert any(name.startswith(f"encoder.layer.{layer}.") for name in names) is (layer >= layers)


def test_freeze_refuses_more_layers_than_there_are(backbone: BertModel) -> None:
    with pytest.raises(ModelError, match="layers is 4, but BertModel has 3"):
        FREEZE.build(FreezeSettings(layers=4), NoRuntime()).apply(backbone)


def test_freeze_refuses_to_freeze_everything(backbone: BertModel) -> None:
    with pytest.raises(ModelError, match="nothing of the backbone would train"):
        FREEZE.build(FreezeSettings(layers=3), NoRuntime()).apply(backbone)


def test_freeze_refuses_what_has_no_layers() -> None:
    with pytest.raises(ModelError, match="cannot find the encoder layers of Linear"):
        FREEZE.build(FreezeSettings(embeddings=False, layers=1), NoRuntime()).apply(nn.Linear(2, 2))


def test_freeze_counts_layers_not_the_experts_inside_them() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList([nn.Linear(2, 2) for _ in range(8)])

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([Layer() for _ in range(3)])

    adapted = FREEZE.build(FreezeSettings(embeddings=False, layers=2), NoRuntime()).apply(Mixture())
    assert {name.split(".")[1] for name in trainable(adapted)} == {"2"}


def test_a_frozen_backbone_moves_only_its_free_part(backbone: BertModel) -> None:
    adapter = FREEZE.build(FreezeSettings(layers=2), NoRuntime())
    adapted = adapter.apply(backbone)
    before = {name: parameter.clone() for name, parameter in adapted.named_parameters()}
    free = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    adapted(input_ids=torch.arange(10).view(2, 5)).last_hidden_state.square().sum().backward()
    torch.optim.SGD(free, lr=0.1).step()
    moved = {name for name, parameter in adapter.merge(adapted).named_parameters() if not parameter.equal(before[name])}
    assert moved
    assert moved <= {name for name in before if name.startswith("encoder.layer.2.")}
