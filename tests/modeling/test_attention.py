"""Which attention an encoder runs with: what the recipe says, else what is fastest where it runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, DebertaV2Config, PretrainedConfig

from qakit.inference.scoring import prepare, score
from qakit.modeling.assemble import assemble
from qakit.modeling.attention import Attention, attention_for, attention_of
from qakit.modeling.device import Precision
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import Example

CPU = torch.device("cpu")
EXAMPLE = Example("q", "Who were the Normans?", ("The Normans gave their name to Normandy.",))


@pytest.mark.parametrize(
    ("choice", "device", "config", "chosen"),
    [
        ("auto", "cuda", BertConfig(), "sdpa"),
        ("auto", "cuda", DebertaV2Config(), "eager"),  # has no other
        ("auto", "cpu", BertConfig(), "eager"),
        ("eager", "cuda", BertConfig(), "eager"),
        ("sdpa", "cpu", BertConfig(), "sdpa"),
        ("flash_attention_2", "cuda", BertConfig(), "flash_attention_2"),
        ("flash_attention_2", "cpu", BertConfig(), "eager"),
    ],
)
def test_the_recipe_chooses_else_the_device(
    choice: Attention, device: str, config: PretrainedConfig, chosen: str
) -> None:
    name = attention_for(choice, torch.device(device), config)
    assert attention_of(SimpleNamespace(_attn_implementation=name)) == chosen


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """Types of the queries that the fused kernel has got."""
    seen: list[torch.dtype] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def listening(query: Tensor, *others: Any, **settings: Any) -> Tensor:
        seen.append(query.dtype)
        return kernel(query, *others, **settings)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", listening)
    return seen


@pytest.mark.parametrize(
    ("choice", "precision", "scoring"),
    [("auto", "fp32", [torch.float32] * 2), ("auto", "bf16", [torch.bfloat16] * 2), ("eager", "fp32", [])],
)
def test_on_a_cpu_scoring_is_fused_and_training_is_not(
    choice: str, precision: Precision, scoring: list[torch.dtype], tiny_backbone: Path, fused: list[torch.dtype]
) -> None:
    """Both layers, in the precision of the run."""
    recipe = Recipe.model_validate(
        {
            "data": {"reader": "squad"},
            "backbone": {"source": str(tiny_backbone)},
            "windows": {"max_length": 64},
            "train": {"attention": choice},
        }
    )
    assembled = assemble(recipe, load_registry(), device=CPU)
    prepared = prepare([EXAMPLE], assembled, recipe, load_registry())
    score(prepared, assembled, device=CPU, precision=precision)
    assert fused == scoring
    fused.clear()
    assembled.model.train()(prepared.collator.collate(prepared.batches[0], targets=False))
    assert fused == []
