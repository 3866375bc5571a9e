"""Every adapter with every head that is installed: training, resuming, merging, keeping, loading, and transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from adapted_models import BATCH, CPU, Make, scores, train

from qakit.modeling import assemble
from qakit.modeling.assemble import Assembled
from qakit.modeling.folder import load_model, save_model
from qakit.protocols import HeadRuntime, MergesAdapter
from qakit.registry import load_registry
from qakit.testing import made_up_batch
from qakit.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from qakit.training.optim import build_optimiser

HEADS = load_registry().names("heads")
ADAPTERS: list[Any] = [
    *load_registry().names("adapters"),
    {"name": "lora", "init": "pissa", "rslora": True, "dropout": 0.1},
    {"name": "lora", "init": "olora", "dora": True},
    {"name": "freeze", "layers": 1},
]


def names(values: Any) -> str:
    return values if isinstance(values, str) else "-".join(str(value) for value in values.values())


PAIRS = [
    (adapter, head)
    for a, adapter in enumerate(ADAPTERS)
    for h, head in enumerate(HEADS)
    if (a + h) % 2 == 0 or "lora" in (adapter, head)
]
"""Each adapter with half of the heads, each head with half of the adapters; what they do to each other does not depend
on the pair. Plain LoRA with all heads: what it saves of them is its own."""
every_pair = pytest.mark.parametrize(("adapter", "head"), PAIRS, ids=names)


def snapshot(assembled: Assembled, *, trainable: bool) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in assembled.model.named_parameters() if p.requires_grad == trainable}


@torch.inference_mode()
def loss(assembled: Assembled) -> float:
    """Of the batch that is trained on, without dropout."""
    found = assembled.model.eval()(BATCH).loss
    assert found is not None
    return float(found)


@pytest.mark.sweep(3)
@every_pair
def test_what_trains_moves_and_the_rest_stays_bit_for_bit(make: Make, adapter: Any, head: str) -> None:
    recipe, assembled = make(adapter, head)
    frozen, free = snapshot(assembled, trainable=False), snapshot(assembled, trainable=True)
    before = loss(assembled)
    train(assembled, recipe, steps=range(8))
    if (adapter, head) != ("prompt", "multiple_choice"):  # all windows read the same prompt: no choice moves in 8 steps
        assert loss(assembled) < before
    after = dict(assembled.model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in frozen.items())
    moved = {name for name, value in free.items() if not torch.equal(after[name], value)}
    assert {name.partition(".")[0] for name in moved} == {"backbone", "head"}
    # Position and type tables have rows that this batch does not read; a span head's loss does not see a shared shift.
    assert len(moved) > 0.8 * len(free)


@pytest.mark.sweep(3)
@every_pair
def test_a_resumed_training_equals_an_uninterrupted_one(make: Make, adapter: Any, head: str, tmp_path: Path) -> None:
    recipe, whole = make(adapter, head, train={"layer_decay": 0.8})
    train(whole, recipe, steps=range(4))
    _, first = make(adapter, head, train={"layer_decay": 0.8})
    optimiser = train(first, recipe, steps=range(2))
    folder = save_checkpoint(
        tmp_path,
        model=first.model,
        optimiser=optimiser,
        progress=Progress(step=2),
        scaler=None,
        recipe_hash="r",
        keep=1,
    )
    _, second = make(adapter, head, train={"layer_decay": 0.8})
    optimiser = build_optimiser(second.model, recipe.train, second.adapter)
    load_checkpoint(folder, model=second.model, optimiser=optimiser, recipe_hash="r")
    train(second, recipe, steps=range(2, 4), optimiser=optimiser)
    expected, found = whole.model.state_dict(), second.model.state_dict()
    assert list(expected) == list(found)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


@pytest.mark.sweep(3)
@every_pair
def test_kept_merged_or_as_an_adapter_it_scores_the_same(make: Make, adapter: Any, head: str, tmp_path: Path) -> None:
    recipe, assembled = make(adapter, head)
    train(assembled, recipe, steps=range(3))
    expected = scores(assembled)
    for keep in ("merged", "adapter"):
        save_model(assembled, tmp_path / keep, decision={}, keep=keep, backbone=recipe.backbone)
        loaded = load_model(tmp_path / keep, recipe, load_registry(), device=CPU)
        assert loaded.classes == assembled.classes
        assert not any("lora" in name for name in loaded.model.state_dict())
        for name, value in scores(loaded).items():
            torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-5)
    after = scores(assembled)
    assert [name for name, value in expected.items() if not torch.equal(after[name], value)] == [], "saving changed it"
    if isinstance(assembled.adapter, MergesAdapter):
        check_in_transformers(tmp_path / "merged", assembled)
    else:
        assert not (tmp_path / "merged" / "model.safetensors").exists()


@torch.inference_mode()
def check_in_transformers(folder: Path, assembled: Assembled) -> None:
    """transformers gives the same outputs: its own class where the saved configuration names one, else the encoder."""
    batch = made_up_batch(targets=False)
    inputs = {name: getattr(batch, name) for name in ("input_ids", "attention_mask", "token_type_ids")}
    architectures = transformers.AutoConfig.from_pretrained(folder).architectures
    if not architectures:
        encoder, report = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
        assert all(name.startswith("pooler.") for name in report["missing_keys"])
        expected = assembled.model.backbone(**inputs).last_hidden_state
        torch.testing.assert_close(encoder.eval()(**inputs).last_hidden_state, expected, atol=1e-5, rtol=1e-5)
        return
    model, report = getattr(transformers, architectures[0]).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    theirs, ours, where = model.eval()(**inputs), scores(assembled), batch.context_mask
    if "logits" in theirs:
        torch.testing.assert_close(theirs.logits, ours["logits"], atol=1e-5, rtol=1e-5)
    else:
        torch.testing.assert_close(theirs.start_logits[where], ours["start"][where], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(theirs.end_logits[where], ours["end"][where], atol=1e-5, rtol=1e-5)


def test_a_head_is_told_of_the_tokenizer_in_training_and_when_it_is_loaded(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    build = assemble.build
    monkeypatch.setattr(assemble, "build", lambda *given: (told.append(given[3]), build(*given))[1])
    recipe, assembled = make("bitfit", "linear_span")
    save_model(assembled, tmp_path / "model", decision={}, backbone=recipe.backbone)
    load_model(tmp_path / "model", recipe, load_registry(), device=CPU)
    tokenizers = [runtime.tokenizer for runtime in told if isinstance(runtime, HeadRuntime)]
    assert [each.tokenize("in rome") for each in tokenizers] == [assembled.tokenizer.tokenize("in rome")] * 2
