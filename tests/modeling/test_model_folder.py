"""The model folder: plain weights under transformers' names, and training that continues undisturbed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from qakit.attribution import attributed
from qakit.errors import ModelError, PluginFaultError, RunError
from qakit.modeling.assemble import Assembled, assemble
from qakit.modeling.folder import load_model, merged_backbone, save_model
from qakit.recipe.model import PluginRef, Recipe
from qakit.registry import load_registry

CPU = torch.device("cpu")


@pytest.fixture
def recipe(tiny_backbone: Path) -> Recipe:
    return Recipe.model_validate(
        {"data": {"reader": "squad"}, "backbone": {"source": str(tiny_backbone)}, "windows": {"max_length": 64}}
    )


@pytest.fixture
def assembled(recipe: Recipe) -> Assembled:
    return assemble(recipe, load_registry(), device=CPU)


class MergesInPlace:
    """An adapter that, like many, folds its weights into the module it is given."""

    def apply(self, backbone: nn.Module) -> nn.Module:
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        for parameter in backbone.parameters():
            parameter.data.zero_()
            parameter.requires_grad_(False)
        return backbone


def test_what_is_loaded_is_what_was_saved(recipe: Recipe, assembled: Assembled, tmp_path: Path) -> None:
    save_model(assembled, tmp_path / "model", decision={"null_threshold": 0.5})
    loaded = load_model(tmp_path / "model", recipe, load_registry(), device=CPU)
    before, after = assembled.model.state_dict(), loaded.model.state_dict()
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_adapter_that_merges_in_place_does_not_touch_the_model_in_training(
    assembled: Assembled, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in assembled.model.state_dict().items()}
    save_model(replace(assembled, adapter=MergesInPlace()), tmp_path / "model", decision={})
    after = assembled.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad for parameter in assembled.model.parameters())


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_what_is_merged_is_a_copy_in_main_memory(recipe: Recipe, adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device may have no room for a second one. ``meta`` stands for main memory here, and the CPU for a GPU."""
    registry = load_registry()
    chosen = recipe.model_copy(update={"adapter": PluginRef(name=adapter)})
    assembled = assemble(chosen, registry, device=CPU)
    before = {name: tensor.clone() for name, tensor in assembled.model.state_dict().items()}
    monkeypatch.setattr("qakit.modeling.folder.MAIN_MEMORY", torch.device("meta"))
    merged = merged_backbone(assembled)
    assert {each.device.type for each in (*merged.parameters(), *merged.buffers())} == {"meta"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in assembled.model.state_dict().items())


def test_an_adapter_that_returns_nothing_is_named(assembled: Assembled, tmp_path: Path) -> None:
    class ReturnsNothing(MergesInPlace):
        def merge(self, backbone: nn.Module) -> nn.Module:
            return None  # type: ignore[return-value]

    adapter = attributed(ReturnsNothing(), load_registry().get("adapters", "full").owner)
    with pytest.raises(PluginFaultError, match="merge returned None; it must return the backbone"):
        save_model(replace(assembled, adapter=adapter), tmp_path / "model", decision={})
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["config.json", "qakit.json", "model.safetensors"])
def test_a_damaged_folder_says_so(recipe: Recipe, assembled: Assembled, tmp_path: Path, name: str) -> None:
    save_model(assembled, tmp_path / "model", decision={})
    (tmp_path / "model" / name).write_text("{broken")
    with pytest.raises(RunError, match="is damaged"):
        load_model(tmp_path / "model", recipe, load_registry(), device=CPU)
    (tmp_path / "model" / name).unlink()
    with pytest.raises(RunError, match=f"has no {name}"):
        load_model(tmp_path / "model", recipe, load_registry(), device=CPU)


def test_a_tokenizer_of_another_model_says_so(recipe: Recipe, assembled: Assembled, tmp_path: Path) -> None:
    save_model(assembled, tmp_path / "model", decision={})
    file = tmp_path / "model" / "tokenizer.json"
    content = json.loads(file.read_text("utf-8"))
    content["model"]["vocab"] |= {"beyond": 70_000}  # the highest id, in a vocabulary with a gap
    file.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ModelError, match=r"model only \d+ embeddings; they do not belong together"):
        load_model(tmp_path / "model", recipe, load_registry(), device=CPU)


def test_a_window_longer_than_the_position_table_is_refused(recipe: Recipe) -> None:
    windows = recipe.windows.model_copy(update={"max_length": 161})
    with pytest.raises(Exception, match=r"windows\.max_length is 161 but the backbone reads at most 160 tokens"):
        assemble(recipe.model_copy(update={"windows": windows}), load_registry(), device=CPU)
