"""What was trained in files of its own: PEFT reads LoRA, and nothing fits a backbone that it was not trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from adapted_models import CPU, Make, scores, train
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertModel

from qakit.errors import ModelError, RunError, UsageError
from qakit.modeling.backbones import load_backbone
from qakit.modeling.folder import load_adapted, load_model, save_model
from qakit.recipe.model import BackboneSection
from qakit.registry import load_registry
from qakit.testing import made_up_batch

LORAS: list[dict[str, Any]] = [
    {},
    {"init": "gaussian", "targets": "linear"},
    {"init": "orthogonal", "rslora": True},
    {"init": "pissa"},
    {"init": "pissa", "rslora": True, "alpha": 5},
    {"init": "pissa", "dora": True},
    {"init": "olora"},
    {"init": "olora", "rslora": True, "dora": True},
]


@torch.inference_mode()
def hidden(backbone: nn.Module) -> torch.Tensor:
    batch = made_up_batch(targets=False)
    output = backbone.eval()(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids
    )
    found: torch.Tensor = output.last_hidden_state
    return found


@pytest.mark.parametrize("settings", LORAS, ids=lambda settings: "-".join(map(str, settings.values())) or "default")
def test_peft_loads_an_exported_lora_over_the_original_backbone(
    make: Make, settings: dict[str, Any], tmp_path: Path, tiny_backbone: Path
) -> None:
    from peft import PeftModel

    recipe, assembled = make({"name": "lora", "rank": 4, **settings})
    train(assembled, recipe, steps=range(4))
    assembled.adapter.export(assembled.model.backbone, tmp_path, source=str(tiny_backbone))  # type: ignore[attr-defined]
    plain = BertModel.from_pretrained(tiny_backbone, add_pooling_layer=False)
    before = hidden(plain)
    loaded = PeftModel.from_pretrained(plain, str(tmp_path))
    theirs = hidden(loaded)
    with loaded.disable_adapter():
        assert torch.equal(hidden(loaded), before), "the update must be one of the original weights"
    ours = hidden(assembled.model.backbone)
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(before, ours, atol=1e-2), "the training must have changed something"


@pytest.mark.parametrize("adapter", ["bitfit", "layernorm", "freeze", "full", "lora"])
def test_what_was_trained_comes_back_from_either_kind_of_folder(make: Make, adapter: str, tmp_path: Path) -> None:
    recipe, assembled = make(adapter)
    train(assembled, recipe, steps=range(2))
    held = dict(assembled.model.named_parameters())
    for keep in ("merged", "adapter"):
        save_model(assembled, tmp_path / keep, decision={}, keep=keep, backbone=recipe.backbone)
        back = load_adapted(tmp_path / keep, recipe, load_registry(), device=CPU)
        found = dict(back.model.named_parameters())
        assert {name: p.requires_grad for name, p in found.items()} == {n: p.requires_grad for n, p in held.items()}
        assert [name for name, p in found.items() if not torch.equal(p, held[name])] == []
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    assert (tmp_path / "merged" / "adapter.safetensors").exists() == (adapter == "lora")


@pytest.mark.parametrize(("adapter", "share"), [("lora", 0.2), ("bitfit", 0.1), ("layernorm", 0.1)])
def test_only_what_was_trained_takes_little_room(make: Make, adapter: str, share: float, tmp_path: Path) -> None:
    recipe, assembled = make(adapter)
    save_model(assembled, tmp_path / "model", decision={}, keep="adapter", backbone=recipe.backbone)
    file = tmp_path / "model" / "adapter.safetensors"
    whole = sum(p.numel() for p in assembled.model.parameters())
    held = load_file(file)
    trained = sum(p.numel() for p in assembled.model.parameters() if p.requires_grad)
    assert sum(tensor.numel() for tensor in held.values()) == trained < share * whole
    layout = json.loads((tmp_path / "model" / "qakit.json").read_text("utf-8"))
    assert layout["backbone"]["source"] == recipe.backbone.source
    assert len(layout["backbone"]["sha256"]["model.safetensors"]) == 64
    with pytest.raises(ModelError, match=r"holds only what its run has trained.*qakit export RUN --merge"):
        load_backbone(BackboneSection(source=str(tmp_path / "model")), attention="eager")


@pytest.fixture
def own_backbone(tiny_backbone: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_backbone, tmp_path / "own"))


def test_another_backbone_is_refused(make: Make, own_backbone: Path, tmp_path: Path) -> None:
    recipe, assembled = make("lora", backbone={"source": str(own_backbone)})
    save_model(assembled, tmp_path / "model", decision={}, keep="adapter", backbone=recipe.backbone)
    expected = scores(assembled)
    loaded = scores(load_model(tmp_path / "model", recipe, load_registry(), device=CPU))
    assert all(torch.allclose(loaded[name], value, atol=1e-5) for name, value in expected.items())
    weights = load_file(own_backbone / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][7] += 0.001
    save_file(weights, own_backbone / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="are not those that the adapter was trained on"):
        load_model(tmp_path / "model", recipe, load_registry(), device=CPU)
    shutil.rmtree(own_backbone)
    with pytest.raises(ModelError, match=r"needs the backbone that it was trained from: backbone folder .* not exist"):
        load_model(tmp_path / "model", recipe, load_registry(), device=CPU)


def test_weights_of_another_adapter_are_refused(make: Make, tmp_path: Path) -> None:
    recipe, assembled = make({"name": "lora", "rank": 2})
    save_model(assembled, tmp_path / "model", decision={}, keep="adapter", backbone=recipe.backbone)
    other, _ = make({"name": "lora", "rank": 4})
    with pytest.raises(RunError, match="do not fit the recipe's adapter and head"):
        load_model(tmp_path / "model", other, load_registry(), device=CPU)
    (tmp_path / "model" / "adapter.safetensors").write_bytes(b"broken")
    with pytest.raises(RunError, match=r"is damaged: adapter\.safetensors"):
        load_model(tmp_path / "model", recipe, load_registry(), device=CPU)
    (tmp_path / "model" / "adapter.safetensors").unlink()
    with pytest.raises(RunError, match=r"has no adapter\.safetensors"):
        load_model(tmp_path / "model", recipe, load_registry(), device=CPU)


def test_a_backbone_from_scratch_is_kept_whole(make: Make, tmp_path: Path) -> None:
    recipe, assembled = make("bitfit", backbone={"init": "scratch"})
    with pytest.raises(UsageError, match="from scratch must be kept whole"):
        save_model(assembled, tmp_path / "model", decision={}, keep="adapter", backbone=recipe.backbone)
    save_model(assembled, tmp_path / "model", decision={}, backbone=recipe.backbone)
    with pytest.raises(RunError, match="it was trained from scratch"):
        load_adapted(tmp_path / "model", recipe, load_registry(), device=CPU)
    with pytest.raises(Exception, match=r"train\.keep: adapter needs backbone\.init: pretrained"):
        make("bitfit", backbone={"init": "scratch"}, train={"keep": "adapter"})
