"""ModernBERT with flash attention reads a padded batch as one row without padding, and says what it says otherwise.

By a stand-in for the package's functions, written from their definition: it has no CPU version, and no GPU was there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import transformers.modeling_flash_attention_utils as flash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from transformers import BertConfig, DebertaV2Config, ModernBertConfig

from qakit.data.batch import Batch
from qakit.errors import ModelError, UsageError
from qakit.modeling import attention
from qakit.modeling.attention import attention_for
from qakit.modeling.backbones import from_config
from qakit.modeling.model import ReadingModel
from qakit.protocols import HeadRuntime
from qakit.recipe.optimisation import TrainSection
from qakit.registry import load_registry
from qakit.testing import made_up_batch

CPU, GPU, META = (torch.device(name) for name in ("cpu", "cuda", "meta"))
CONFIG: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 100,
    "max_position_embeddings": 130,
    "local_attention": 4,
    "global_attn_every_n_layers": 2,
    "pad_token_id": 0,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "initializer_range": 0.2,
}
CALLS: list[tuple[str, tuple[int, ...], Any]] = []
"""Which function was called, with queries of which shape, and the longest window."""


def attended(query: Tensor, key: Tensor, value: Tensor, scale: float, window: tuple[int, int]) -> Tensor:
    """(T, A, D) of one window."""
    distance = torch.arange(len(query))[:, None] - torch.arange(len(query))
    far = (distance.abs() > window[0]) if window[0] >= 0 else torch.zeros_like(distance, dtype=torch.bool)
    scores = torch.einsum("iad,jad->aij", query, key) * scale
    return torch.einsum("aij,jad->iad", scores.masked_fill(far, -torch.inf).softmax(2), value)


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float = 1.0,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    deterministic: bool = False,
) -> Tensor:
    assert (causal, dropout_p, deterministic) == (False, 0.0, True)
    assert cu_seqlens_q is cu_seqlens_k
    assert cu_seqlens_q.dtype == torch.int32
    CALLS.append(("varlen", tuple(q.shape), max_seqlen_q))
    if q.device == META:
        return q
    ends = cu_seqlens_q.tolist()
    assert max(np.diff(ends)) == max_seqlen_q == max_seqlen_k
    rows = [slice(*pair) for pair in pairwise(ends)]
    return torch.cat([attended(q[row], k[row], v[row], softmax_scale, window_size) for row in rows])


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float = 1.0,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    deterministic: bool = False,
) -> Tensor:
    CALLS.append(("full", tuple(q.shape), None))
    return torch.stack([attended(*each, softmax_scale, window_size) for each in zip(q, k, v, strict=True)])


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    arguments = flash._lazy_define_process_function(flash_attn_varlen_func)
    functions = ((flash_attn_func, flash_attn_varlen_func, None, None, None), (arguments, None))
    monkeypatch.setattr(flash, "lazy_import_flash_attention", lambda *_, **__: functions)
    CALLS.clear()
    yield


def reading_model(device: torch.device = CPU, **settings: Any) -> ReadingModel:
    """With eager attention, no dropout, and weights that are always the same."""
    registry = load_registry()
    torch.manual_seed(0)
    runtime = HeadRuntime(
        hidden_size=32, initializer_range=0.2, n_best=5, max_answer_length=4, no_answer=True, layers=3
    )
    config = ModernBertConfig(**CONFIG, attn_implementation="eager")
    with device:
        backbone = from_config(config, registry, trust_remote_code=False)
        return ReadingModel(backbone, registry.build("heads", "linear_span", settings, runtime)).train()


def with_flash(model: ReadingModel) -> ReadingModel:
    """As :func:`from_config` makes it where the package is installed."""
    config: Any = model.backbone.config
    config._attn_implementation = "flash_attention_2"
    attention.use_kernel(model.backbone, config)
    return model


def batch_of(lengths: list[int]) -> Batch:
    """Windows of so many tokens, the first of them with an answer."""
    size, width = len(lengths), max(lengths)
    made, rows = made_up_batch(), np.zeros(size, np.int64)
    position = torch.arange(width)
    real = position < torch.tensor(lengths)[:, None]
    context = real & (position > 1)
    ids = torch.randint(4, 100, (size, width), generator=torch.Generator().manual_seed(len(lengths) + width))
    return replace(
        made,
        input_ids=torch.where(real, ids, 0),
        attention_mask=real.long(),
        token_type_ids=None,
        context_mask=context,
        start_mask=context,
        target_first=torch.full((size,), 2),
        target_last=torch.full((size,), 2),
        window=rows,
        padded=min(lengths) < width,
        lengths=np.array(lengths),
    )


def read(model: ReadingModel, batch: Batch) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    """Scores of what is no padding, the loss, and the gradients."""
    model.zero_grad()
    output = model(batch)
    assert output.loss is not None
    output.loss.backward()
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    real = batch.attention_mask.bool()
    scores = {name: (each[real] if each.dim() > 1 else each).detach() for name, each in output.scores.items()}
    return scores, output.loss.detach(), gradients


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(3, 20), min_size=1, max_size=4), st.sampled_from([None, "all"]))
def test_scores_loss_and_gradients_are_those_of_padded_windows(lengths: list[int], pooling: str | None) -> None:
    batch = batch_of(lengths)
    expected = read(reading_model(layer_pooling=pooling), batch)
    CALLS.clear()
    found = read(with_flash(reading_model(layer_pooling=pooling)), batch)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)
    if batch.padded:  # in no layer is there a position of padding
        assert [("varlen", (sum(lengths), 2, 16), max(lengths))] * 3 == CALLS
    else:
        assert [("full", (len(lengths), max(lengths), 2, 16), None)] * 3 == CALLS


def test_the_device_is_asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """``meta`` has no numbers to give."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)  # nor autocast
    monkeypatch.setattr(flash, "fa_peft_integration_check", lambda *given: given[:3])  # whose type is another
    built = with_flash(reading_model(META))
    output = built(batch_of([9, 5, 3]).to(META))
    assert output.loss is not None and output.loss.device == META
    assert [name for name, *_ in CALLS] == ["varlen"] * 3


def test_a_batch_of_unknown_lengths_is_read_with_its_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []

    def forward(**given: Any) -> Any:
        seen.append(set(given))
        raise KeyError

    built = with_flash(reading_model())
    monkeypatch.setattr(built.backbone, "forward", forward)
    with pytest.raises(KeyError):
        built(replace(batch_of([9, 5]), lengths=None))
    assert seen == [{"input_ids", "attention_mask"}]


def test_a_card_before_ampere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    with pytest.raises(UsageError) as caught:
        made(ModernBertConfig(**CONFIG))
    assert str(caught.value) == (
        "train.attention: flash_attention_2 needs a GPU of compute capability 8.0 or newer (A100, L4, H100), and this "
        "Tesla T4 has 7.5: set it to auto"
    )


def test_without_the_package_nothing_is_sought_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "find_spec", lambda _: None)
    with pytest.raises(UsageError) as caught:
        made(ModernBertConfig(**CONFIG))
    assert str(caught.value) == (
        "train.attention: flash_attention_2 needs the package 'flash-attn': pip install flash-attn "
        "--no-build-isolation, or set it to auto"
    )


def test_an_architecture_without_it_is_told() -> None:
    with pytest.raises(ModelError, match="transformers has no flash_attention_2 for the architecture deberta-v2"):
        made(DebertaV2Config())
    assert attention_for("flash_attention_2", GPU, BertConfig()) == "flash_attention_2"


def made(config: Any) -> Any:
    config._attn_implementation = attention_for("flash_attention_2", GPU, config)
    return from_config(config, load_registry(), trust_remote_code=False)


def test_it_computes_in_half_precision() -> None:
    with pytest.raises(ValidationError, match="flash_attention_2 computes in half precision"):
        TrainSection(attention="flash_attention_2", precision="fp32")
    assert TrainSection(attention="flash_attention_2").precision == "auto"
