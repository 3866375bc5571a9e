"""Architectures that cannot be run in half precision: `auto` knows them, a choice by name is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from command_line import Invoke
from torch import nn
from transformers import AutoModel

from qakit.errors import UsageError
from qakit.modeling import device as module
from qakit.modeling.device import FULL_PRECISION_ONLY, autocast, resolve_precision
from qakit.modeling.model import ReadingModel
from qakit.protocols import HeadOutput
from qakit.testing.heads import made_up_batch

CPU = torch.device("cpu")
TRAIN = (
    '{"data": [{"paragraphs": [{"context": "He lives in Utrecht", "qas": '
    '[{"id": "1", "question": "Where?", "answers": [{"text": "Utrecht", "answer_start": 12}]}]}]}]}'
)
SMALL = {
    "vocab_size": 100,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "DebertaConfig": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "XmodConfig": {"default_language": "en_XX"},
    "DebertaV2Config": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 16},
    "BertConfig": {},
}


def encoder(name: str) -> nn.Module:
    config = getattr(transformers, name)(**SMALL, **CONFIGS[name])
    return AutoModel.from_config(config)


class SumHead(nn.Module):
    """Its loss is the sum of the hidden states."""

    def forward(self, hidden: torch.Tensor, batch: object) -> HeadOutput:
        return HeadOutput(hidden.float().sum(), {})


@pytest.mark.parametrize("name", CONFIGS)
def test_every_encoder_takes_a_training_step_under_bf16(name: str) -> None:
    model = ReadingModel(encoder(name), SumHead()).train()
    with autocast(CPU, "bf16"):
        loss = model(made_up_batch()).loss
    assert loss is not None
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", CONFIGS)
def test_those_that_cannot_are_the_ones_that_are_known(name: str) -> None:
    """If transformers mends one, it can go from the list."""
    backbone = encoder(name)
    try:
        with autocast(CPU, "bf16"):
            backbone(input_ids=torch.full((1, 8), 5))
        works = True
    except RuntimeError:
        works = False
    assert works == (backbone.config.model_type not in FULL_PRECISION_ONLY)


@pytest.mark.parametrize("architecture", sorted(FULL_PRECISION_ONLY))
def test_auto_is_fp32_for_them_and_a_choice_by_name_is_refused(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_cpu_has_native_bf16", lambda: True)
    assert resolve_precision("auto", CPU, "bert") == "bf16"
    assert resolve_precision("auto", CPU, architecture) == "fp32"
    assert resolve_precision("fp32", CPU, architecture) == "fp32"
    for choice, where in (("bf16", CPU), ("fp16", torch.device("cuda"))):
        with pytest.raises(UsageError, match=f"{architecture} architecture cannot be run in {choice}.*fp32"):
            resolve_precision(choice, where, architecture)  # type: ignore[arg-type]


def test_a_dry_run_says_it(tiny_backbone: Path, tmp_path: Path, invoke: Invoke) -> None:
    transformers.DebertaConfig(**SMALL).save_pretrained(tmp_path / "deberta")
    (tmp_path / "train.json").write_text(TRAIN, "utf-8")
    (tmp_path / "recipe.yaml").write_text(
        "data: {reader: squad, train: train.json}\n"
        f"backbone: {{source: ./deberta, init: scratch, tokenizer: '{tiny_backbone}'}}\n"
        "windows: {max_length: 32, max_question_length: 8}\ntrain: {max_steps: 1}\n",
        "utf-8",
    )
    command = ("train", tmp_path / "recipe.yaml", "--dry-run", "--set")
    refused = invoke(*command, "train.precision=bf16")
    assert refused.exit_code == 2
    assert "deberta architecture cannot be run in bf16" in str(refused.exception)
    assert invoke(*command, "train.precision=auto").exit_code == 0
