"""The adapters ``ia3`` and ``prompt``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapted_models import Make, small

from qakit.api import ModelError, NoRuntime, length_limit
from qakit.modeling.model import ReadingModel
from qakit.recipe.model import TrainSection
from qakit.testing import check_adapter, check_component
from qakit.training.optim import parameter_groups
from qakit_adapters import IA3, PROMPT, Ia3Settings, PromptSettings
from qakit_adapters.lora import ATTENTION

FUSED = {"modernbert", "deberta"}
"""Keys and values come out of one layer, with the queries."""
BLOCKS = {"mobilebert": 4}
"""Feed-forward blocks of a layer, where there are several."""


@pytest.mark.parametrize("targets", ["default", ["key", "value"], ["output.dense"]], ids=str)
def test_ia3_keeps_the_contract_of_adapters(targets: Any) -> None:
    check_component("adapters", IA3)
    check_adapter(IA3, Ia3Settings(targets=targets))


@pytest.mark.parametrize("model_type", sorted(ATTENTION))
def test_ia3_scales_keys_values_and_inner_activations_or_says_that_it_knows_none(model_type: str) -> None:
    backbone = small(model_type)
    ids = torch.arange(3, 11)[None]
    with torch.inference_mode():
        before = backbone(input_ids=ids).last_hidden_state
    try:
        adapted = IA3.build(Ia3Settings(), NoRuntime()).apply(backbone)
    except ModelError as error:
        assert model_type in FUSED
        assert "name what is to be scaled in `targets`" in str(error)
        return
    factors = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    layers = 1 if model_type == "albert" else 2  # ALBERT has one layer, used over and over
    assert len(factors) == (2 + BLOCKS.get(model_type, 1)) * layers
    assert all((factor == 1).all() for factor in factors.values())
    assert not [name for name in factors if "attention.output" in name]
    with torch.inference_mode():
        torch.testing.assert_close(adapted.eval()(input_ids=ids).last_hidden_state, before)


def test_weight_decay_leaves_the_factors_alone() -> None:
    adapter = IA3.build(Ia3Settings(), NoRuntime())
    model = ReadingModel(adapter.apply(small("bert")), torch.nn.Linear(16, 2))
    groups = {group["name"]: group for group in parameter_groups(model, TrainSection(), adapter)}
    assert groups["backbone, no decay"]["weight_decay"] == 0
    assert any(p.ndim == 2 for p in groups["backbone, no decay"]["params"]), "their shape would let them decay"
    assert "backbone, decay" not in groups


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="no linear module called keys; it has dense, key, query, value"):
        IA3.build(Ia3Settings(targets=["keys"]), NoRuntime()).apply(small("bert"))


def test_a_prompt_keeps_the_contract_of_adapters() -> None:
    check_component("adapters", PROMPT)
    check_adapter(PROMPT, PromptSettings(tokens=3))


@pytest.mark.parametrize(
    "model_type", ["bert", "roberta", "distilbert", "deberta-v2", "modernbert", "electra", "mpnet"]
)
def test_every_token_reads_the_prompt_and_nobody_sees_its_positions(model_type: str) -> None:
    backbone = small(model_type)
    ids, mask = torch.arange(3, 11)[None].repeat(2, 1), torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    adapted = PROMPT.build(PromptSettings(tokens=3), NoRuntime()).apply(backbone).eval()
    assert [name for name, p in adapted.named_parameters() if p.requires_grad] == ["prompt"]
    output = adapted(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    assert output.last_hidden_state.shape == (2, 8, 16)
    assert {each.shape for each in output.hidden_states} == {(2, 8, 16)}
    alone = adapted(input_ids=ids[:1, :5])  # padding changes nothing
    torch.testing.assert_close(output.last_hidden_state[1:, :5], alone.last_hidden_state)
    with torch.no_grad():
        adapted.prompt += torch.randn_like(adapted.prompt)
    moved = (adapted(input_ids=ids[:1, :5]).last_hidden_state - alone.last_hidden_state).abs().amax(2)
    assert (moved > 1e-5).all()


def test_windows_must_leave_room_for_the_prompt(make: Make) -> None:
    limit = length_limit(small("bert"))
    assert limit == 64
    assert length_limit(PROMPT.build(PromptSettings(tokens=3), NoRuntime()).apply(small("bert"))) == 61
    with pytest.raises(ModelError, match="64 vectors fill the backbone's 64 positions"):
        PROMPT.build(PromptSettings(tokens=64), NoRuntime()).apply(small("bert"))
    with pytest.raises(ModelError, match="max_length is 64 but the backbone reads at most 40 tokens"):
        make({"name": "prompt", "tokens": 120})
