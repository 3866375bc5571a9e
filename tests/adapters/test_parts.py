"""The embeddings and the numbered layers of many architectures, with and without an adapter around them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from adapted_models import small
from torch import nn

from qakit.api import ModelError, NoRuntime, backbone_parts, layer_count
from qakit.modeling.model import ReadingModel, parameters_by_module
from qakit.recipe.model import TrainSection
from qakit.training.optim import parameter_groups
from qakit_adapters import FREEZE, LAYERNORM, LORA, FreezeSettings, LoraSettings
from qakit_adapters.lora import ATTENTION

TYPES = sorted({*ATTENTION, "fnet", "layoutlm"})
SHARED = {"albert": 1}
"""ALBERT has one layer, used over and over."""


@pytest.mark.parametrize("model_type", TYPES)
def test_layers_and_embeddings_are_found_in_every_architecture(model_type: str) -> None:
    backbone = small(model_type)
    parts = backbone_parts(backbone)
    layers = SHARED.get(model_type, 2)
    assert list(parts) == [name for name, _ in backbone.named_parameters()]
    assert layer_count(parts) == layers
    per_layer = Counter(part for part in parts.values() if isinstance(part, int))
    assert set(per_layer) == set(range(layers))
    assert "embeddings" in parts.values()
    elsewhere = {name.split(".")[-2].lower() for name, part in parts.items() if part == "other"}
    assert elsewhere <= {"dense", "pooler", "layernorm", "ln", "norm", "final_norm"}
    tables = {name for name, part in parts.items() if "embeddings.weight" in name and part != "embeddings"}
    assert not {name for name in tables if not isinstance(parts[name], int)}


@pytest.mark.parametrize("model_type", sorted(ATTENTION))
def test_an_update_belongs_to_the_layer_that_it_updates(model_type: str) -> None:
    backbone = small(model_type)
    before = Counter(backbone_parts(backbone).values())
    adapted = LORA.build(LoraSettings(rank=2), NoRuntime()).apply(backbone)
    parts = backbone_parts(adapted)
    added = {name: part for name, part in parts.items() if ".lora_" in name}
    assert set(added.values()) == set(range(SHARED.get(model_type, 2)))
    assert Counter(parts.values()) == before + Counter(added.values())


@pytest.mark.parametrize("model_type", TYPES)
def test_rates_fall_from_the_head_to_the_embeddings(model_type: str) -> None:
    torch.manual_seed(0)
    model = ReadingModel(small(model_type), nn.Linear(16, 2))
    section = TrainSection(learning_rate=1e-3, layer_decay=0.5, weight_decay=0.1, head_weight_decay=0.2)
    groups = parameter_groups(model, section)
    rates = {group["name"].partition(",")[0]: group["peak_rate"] for group in groups}
    layers = SHARED.get(model_type, 2)
    expected = {"embeddings": 0.5 ** (layers + 1), "head": 1.0}
    expected |= {f"layer {number}": 0.5 ** (layers - number) for number in range(layers)}
    if "rest of the backbone" in rates:
        expected["rest of the backbone"] = 0.5
    assert rates == {name: pytest.approx(1e-3 * factor) for name, factor in expected.items()}
    names = [name for group in groups for name in group["names"]]
    assert sorted(names) == sorted(name for name, p in model.named_parameters() if p.requires_grad)
    assert {group["weight_decay"] for group in groups if group["name"] == "head, decay"} == {0.2}
    assert {group["weight_decay"] for group in groups if group["name"].endswith("no decay")} == {0.0}


def test_without_layers_there_are_no_rates_by_layer() -> None:
    model = ReadingModel(nn.Linear(16, 16), nn.Linear(16, 2))
    with pytest.raises(ModelError, match=r"train\.layer_decay: cannot find the encoder layers of Linear"):
        parameter_groups(model, TrainSection(layer_decay=0.9))


def test_a_decay_of_one_is_no_decay() -> None:
    model = ReadingModel(small("bert"), nn.Linear(16, 2))
    flat, by_layer = (
        {name: (g["peak_rate"], g["weight_decay"]) for g in parameter_groups(model, section) for name in g["names"]}
        for section in (TrainSection(), TrainSection(layer_decay=1.0))
    )
    assert flat == by_layer


@pytest.mark.parametrize("model_type", TYPES)
def test_freeze_and_the_table_by_module_agree(model_type: str) -> None:
    layers = SHARED.get(model_type, 2)
    backbone = FREEZE.build(FreezeSettings(layers=layers - 1), NoRuntime()).apply(small(model_type))
    rows = {row["module"]: row for row in parameters_by_module(ReadingModel(backbone, nn.Linear(16, 2)))}
    frozen = {name for name, row in rows.items() if row["trainable"] == 0}
    assert frozen == {"embeddings", *(f"layer {number}" for number in range(layers - 1))}
    assert all(row["trainable"] in (0, row["total"]) for row in rows.values())
    assert sum(int(row["total"]) for row in rows.values()) == 16 * 2 + 2 + sum(p.numel() for p in backbone.parameters())


@pytest.mark.parametrize("model_type", TYPES)
def test_layernorm_trains_vectors_in_every_layer(model_type: str) -> None:
    backbone = LAYERNORM.build(LAYERNORM.settings(), NoRuntime()).apply(small(model_type))
    parts = backbone_parts(backbone)
    trains = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert all(p.ndim == 1 for p in backbone.parameters() if p.requires_grad)
    assert {parts[name] for name in trains} >= set(range(SHARED.get(model_type, 2)))
    left = {name for name, _ in backbone.named_parameters() if "norm" in name.lower()} - trains
    assert not left
