"""Neither a training step nor decoding asks the device for a number, and none mixes devices: on ``meta``, where there
are no numbers, both raise an error. On a GPU the first would make the host wait in the middle of each batch, and the
second would end it.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModel, BertConfig, DebertaV2Config, ModernBertConfig, PretrainedConfig

from qakit.data.batch import Batch
from qakit.inference.aggregation import against_no_answer
from qakit.modeling.attention import SDPA
from qakit.modeling.model import ReadingModel
from qakit.protocols import GivesDistributions, HeadOutput, HeadRuntime, ScoresPositions, SpanCandidates
from qakit.registry import load_registry
from qakit.testing import made_up_batch
from qakit.training.r_drop import divergence

META = torch.device("meta")
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 130,
    "vocab_size": 100,
    "pad_token_id": 0,
}
RELATIVE: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 16,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "position_biased_input": False,
    "norm_rel_ebd": "layer_norm",
}
BACKBONES: dict[str, PretrainedConfig] = {
    "bert": BertConfig(**SIZES, attn_implementation=SDPA),
    "deberta-v2": DebertaV2Config(**SIZES, **RELATIVE),
    "modernbert": ModernBertConfig(
        **SIZES, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, attn_implementation=SDPA
    ),
}
EVERYTHING = {"dropout": 0.1, "multi_sample_dropout": 2, "layer_pooling": "all"}
SPANS = {**EVERYTHING, "in_answer_weight": 0.5, "answerability_weight": 0.5, "yes_no_weight": 0.5}
HEADS: list[tuple[str, dict[str, Any]]] = [
    *(("linear_span", settings) for settings in ({}, SPANS | {"label_smoothing": 0.1}, {"soft_labels": "jaccard"})),
    *(("joint_span", settings) for settings in ({}, SPANS | {"label_smoothing": 0.1}, {"soft_labels": "jaccard"})),
    *(("crf", settings) for settings in ({}, SPANS, {"mode": "single_span"}, {"spans": "many"})),
    *(("classifier", settings) for settings in ({}, EVERYTHING)),
    *(("multiple_choice", settings) for settings in ({}, {"pooling": "mean"})),
    *(("paragraph_scorer", settings) for settings in ({}, EVERYTHING)),
]


@pytest.fixture(autouse=True)
def no_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """``meta`` knows no autocast."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def model(backbone: str, head: str, settings: dict[str, Any], *, labels: tuple[str, ...] = ()) -> ReadingModel:
    config = BACKBONES[backbone]
    runtime = HeadRuntime(
        hidden_size=config.hidden_size,
        initializer_range=0.02,
        n_best=5,
        max_answer_length=4,
        no_answer=True,
        labels=labels,
        layers=config.num_hidden_layers,
        architecture=config.model_type,
    )
    with META:
        return ReadingModel(AutoModel.from_config(config), load_registry().build("heads", head, settings, runtime))


def step(built: ReadingModel, *, yes_no: bool = False, padded: bool = False, segments: bool = False) -> None:
    """Forward and backward; with the distributions that two readings are compared by, where the head has them."""
    batch = replace(made_up_batch(yes_no=yes_no, segments=segments).to(META), padded=padded)
    output = built.train()(batch)
    loss, head = output.loss, built.head
    assert loss is not None and loss.device == META
    if isinstance(head, GivesDistributions) and head.has_distributions:
        loss = loss + divergence(head.distributions(output.scores, batch), head.distributions(output.scores, batch))
    torch.autograd.backward(loss)
    gradients = [each.grad for each in built.head.parameters()]
    assert all(each is not None and each.device == META for each in gradients)


@pytest.mark.parametrize(("head", "settings"), HEADS)
def test_every_head(head: str, settings: dict[str, Any]) -> None:
    several = head not in ("classifier", "multiple_choice")  # contexts in a window
    step(model("bert", head, settings), yes_no="yes_no_weight" in settings, segments=several)


@pytest.mark.parametrize(("head", "settings"), HEADS)
def test_decoding_of_every_head(head: str, settings: dict[str, Any]) -> None:
    several = head not in ("classifier", "multiple_choice")
    built = model("bert", head, settings).eval()
    batch = made_up_batch(yes_no="yes_no_weight" in settings, segments=several, targets=False).to(META)
    with torch.inference_mode():
        output = built(batch)
        decoded = built.decoder.decode(output.scores, batch)
        if isinstance(built.head, ScoresPositions):
            assert built.head.position_scores(output.scores, batch).start.device == META
        if isinstance(decoded, SpanCandidates):
            assert against_no_answer(decoded).score.device == META


def test_a_head_with_classes() -> None:
    step(model("bert", "classifier", {}, labels=("no", "yes")))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("padded", [False, True])
def test_every_kind_of_attention(backbone: str, padded: bool) -> None:
    step(model(backbone, "linear_span", {}), padded=padded)


@pytest.mark.parametrize("fault", ["a number", "a device"])
def test_it_would_be_seen(fault: str) -> None:
    class Asks(nn.Module):
        reads = "window"

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(32, device=META))

        def forward(self, hidden: torch.Tensor, batch: Batch) -> HeadOutput:
            scores = hidden @ self.weight
            if fault == "a number":
                scores = scores * float(batch.attention_mask.sum())
            else:
                scores = scores + torch.arange(scores.shape[1])
            return HeadOutput(scores.mean(), {"scores": scores})

    built = model("bert", "linear_span", {})
    built.head = Asks()
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        step(built)
