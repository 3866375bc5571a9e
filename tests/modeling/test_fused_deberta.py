"""DeBERTa with the fused kernel says what it says without: the modules and weights are transformers'.

By a stand-in for the kernel, written from its definition, and by the kernel itself where its package is installed, in
Triton's interpreter on the CPU: ``TRITON_INTERPRET=1 pytest tests/modeling/test_fused_deberta.py``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, DebertaV2Config, PretrainedConfig
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from qakit.errors import ModelError, UsageError
from qakit.modeling import attention as attention_module
from qakit.modeling.attention import attention_for, attention_of
from qakit.modeling.backbones import from_config
from qakit.modeling.fused_deberta import KERNEL, FusedAttention
from qakit.registry import load_registry

CPU, GPU = torch.device("cpu"), torch.device("cuda")
VARIANTS: list[dict[str, Any]] = [
    {"share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "norm_rel_ebd": "layer_norm"},
    {"share_att_key": False, "pos_att_type": ["c2p"], "position_buckets": -1},
    {"share_att_key": False, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "conv_kernel_size": 3},
]
LENGTHS = torch.tensor([50, 30, 7])
MASK = (torch.arange(50) < LENGTHS[:, None]).long()


def config_of(**changes: Any) -> DebertaV2Config:
    return DebertaV2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=100,
        max_position_embeddings=130,
        relative_attention=True,
        position_biased_input=False,
        type_vocab_size=0,
        **changes,
    )


def by_definition(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: Tensor,
    to_key: Tensor | None,
    to_query: Tensor | None,
    causal: bool,
    scale: float,
    buckets: int,
    longest: int,
) -> Tensor:
    """He et al. 2021, "DeBERTa", equation 4: content to content, content to place and place to content."""
    width = query.shape[2]
    distance = torch.arange(width)[:, None] - torch.arange(width)
    span = buckets if buckets > 0 else longest
    place = make_log_bucket_position(distance, buckets, longest).long() if buckets > 0 else distance
    place = (place + span).clamp(0, 2 * span - 1)
    assert not causal
    scores = query @ key.transpose(2, 3)
    if to_key is not None:
        assert to_key.shape[2] == 2 * span
        scores = scores + torch.einsum("bhid,hijd->bhij", query, to_key[0][:, place])
    if to_query is not None:
        scores = scores + torch.einsum("bhjd,hijd->bhij", key, to_query[0][:, place])
    seen = torch.arange(width) < lengths[:, None]
    found = (scores * scale).masked_fill(~seen[:, None, None], -torch.inf).softmax(3) @ value
    return found * seen[:, None, :, None]


@pytest.fixture(params=["stand-in", "flashdeberta"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "flashdeberta":
        if find_spec("flashdeberta") is None or os.environ.get("TRITON_INTERPRET") != "1":
            pytest.skip("needs the extra flash-deberta, and TRITON_INTERPRET=1, which Triton reads when it is imported")
        monkeypatch.setattr(torch.cuda, "device", lambda *_: nullcontext())
    else:
        stand_in(monkeypatch)
    yield request.param


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType(KERNEL)
    module.flash_attention_with_disentangled = by_definition
    for name in ("flashdeberta", "flashdeberta.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, KERNEL, module)


def encoder(config: PretrainedConfig, choice: Any, device: torch.device) -> Any:
    config._attn_implementation = attention_for(choice, device, config)
    return from_config(config, load_registry(), trust_remote_code=False).train()


def read(model: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """What a model makes of the tokens that are no padding, and the gradient of something of it."""
    ids = torch.randint(1, 100, MASK.shape, generator=torch.Generator().manual_seed(0))
    model.zero_grad()
    hidden = model(input_ids=ids, attention_mask=MASK).last_hidden_state[MASK.bool()]
    (hidden * torch.arange(32)).sum().backward()
    return hidden.detach(), {name: each.grad for name, each in model.named_parameters()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_and_gradients_are_those_of_transformers(kernel: str, variant: dict[str, Any]) -> None:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    plain = encoder(config_of(**variant, **still), "auto", GPU)
    fused = encoder(config_of(**variant, **still), "flash_deberta", GPU)
    kinds = [type(part).__name__ for part in fused.modules()]
    assert (kinds.count("FusedAttention"), kinds.count("DisentangledSelfAttention")) == (2, 0)
    assert attention_of(fused.config) == "flash_deberta"
    fused.load_state_dict(plain.state_dict())  # a checkpoint's names and shapes are the same
    (expected, gradients), (found, own) = read(plain), read(fused)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    largest = max(float(each.abs().max()) for each in gradients.values() if each is not None)
    for name, each in gradients.items():
        assert (own[name] is None) == (each is None), name
        if each is not None:
            torch.testing.assert_close(own[name], each, atol=1e-6 * largest, rtol=1e-4, msg=name)


def test_a_copy_is_fused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging adapters, averages of weights and the preflight work on copies."""
    from copy import deepcopy

    stand_in(monkeypatch)
    fused = encoder(config_of(**VARIANTS[0]), "flash_deberta", GPU)
    assert sum(isinstance(part, FusedAttention) for part in deepcopy(fused).modules()) == 2


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "flashdeberta"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flashdeberta", None)
    with pytest.raises(UsageError) as caught:
        encoder(config_of(**VARIANTS[0]), "flash_deberta", GPU)
    assert str(caught.value) == (
        "train.attention: flash_deberta needs the package 'flashdeberta': pip install 'qakit[flash-deberta]', or set "
        "it to auto"
    )


def test_a_package_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    monkeypatch.setitem(sys.modules, KERNEL, ModuleType(KERNEL))  # of another version, without the function
    with pytest.raises(UsageError, match="the package flashdeberta cannot be used"):
        encoder(config_of(**VARIANTS[0]), "flash_deberta", GPU)


def test_it_is_for_deberta_alone() -> None:
    for device in (CPU, GPU):
        with pytest.raises(ModelError) as caught:
            attention_for("flash_deberta", device, BertConfig())
        assert str(caught.value) == (
            "train.attention: flash_deberta is for DeBERTa v2 and v3, and this backbone is of the architecture bert: "
            "leave it out"
        )


def test_on_a_cpu_the_encoder_goes_without_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """As a run does that was trained on a GPU."""
    attention_module._tell_of_cpu.cache_clear()
    with caplog.at_level(logging.WARNING, "qakit.modeling.attention"):
        models = [encoder(config_of(**VARIANTS[0]), "flash_deberta", CPU) for _ in range(2)]
    assert not any(isinstance(part, FusedAttention) for part in models[0].modules())
    assert [each.getMessage() for each in caplog.records] == [
        "train.attention: flash_deberta runs on CUDA GPUs only: here the encoder goes without it"
    ]


def test_it_is_off_by_default() -> None:
    assert attention_for("auto", GPU, config_of()) == "eager"
