"""The top layers made anew: which weights change, that the seed decides them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers import AutoModel

from qakit.errors import ModelError
from qakit.modeling.assemble import Assembled, assemble, reinitialise_top
from qakit.modeling.layers import backbone_parts
from qakit.recipe.model import Recipe
from qakit.registry import load_registry

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 40}
FAMILIES: dict[str, dict[str, Any]] = {
    "BertConfig": SMALL,
    "RobertaConfig": SMALL,
    "ElectraConfig": {**SMALL, "embedding_size": 8},
    "DistilBertConfig": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32, "vocab_size": 40},
    "DebertaV2Config": {**SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBertConfig": {**SMALL, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
}


def trained(family: str) -> nn.Module:
    """A model whose every weight says that it was trained: 7."""
    model: nn.Module = AutoModel.from_config(getattr(transformers, family)(**FAMILIES[family]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    return model


def changed(model: nn.Module) -> set[object]:
    """The parts of which some weight is no longer 7; no part may be changed by halves."""
    parts, same, other = backbone_parts(model), set(), set()
    for name, parameter in model.named_parameters():
        (same if bool((parameter == 7.0).all()) else other).add(parts[name])
    assert not same & other
    return other


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_exactly_the_top_layers_are_fresh(family: str, layers: int) -> None:
    model = trained(family)
    fresh = reinitialise_top(model, model.config, layers, seed=5)
    assert changed(model) == set(range(3 - layers, 3))
    assert set(fresh) == {name for name, part in backbone_parts(model).items() if part in range(3 - layers, 3)}


def test_the_weights_are_those_of_the_models_own_initialiser() -> None:
    model = trained("BertConfig")
    model.config.initializer_range = 0.5
    reinitialise_top(model, model.config, 1, seed=0)
    named = {name.removeprefix("encoder.layer.2."): p for name, p in model.named_parameters() if "layer.2." in name}
    assert named["intermediate.dense.weight"].std().item() == pytest.approx(0.5, rel=0.2)
    assert bool((named["intermediate.dense.bias"] == 0).all())
    assert bool((named["output.LayerNorm.weight"] == 1).all())


def test_the_seed_decides_and_nothing_else_is_drawn_differently() -> None:
    def weights(layers: int, seed: int) -> dict[str, torch.Tensor]:
        model = trained("BertConfig")
        reinitialise_top(model, model.config, layers, seed=seed)
        return {name: p.detach() for name, p in model.named_parameters() if "layer.2." in name and p.ndim == 2}

    model = trained("BertConfig")
    state = torch.get_rng_state()
    reinitialise_top(model, model.config, 1, seed=8)
    assert torch.equal(torch.get_rng_state(), state)
    one = weights(1, 8)
    two, other = weights(2, 8), weights(1, 9)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_more_layers_than_there_are_is_an_error() -> None:
    model = trained("BertConfig")
    with pytest.raises(ModelError, match="reinit_layers is 4, but BertModel has 3 layers"):
        reinitialise_top(model, model.config, 4, seed=0)
    shared = AutoModel.from_config(transformers.AlbertConfig(**SMALL, embedding_size=8))
    with pytest.raises(ModelError, match="has 1 layers of its own"):
        reinitialise_top(shared, shared.config, 2, seed=0)
    with pytest.raises(ModelError, match="cannot find the encoder layers of Linear"):
        reinitialise_top(nn.Linear(2, 2), model.config, 1, seed=0)


def assembled(backbone: Path, **more: Any) -> Assembled:
    recipe = Recipe.model_validate(
        {"data": {"reader": "squad"}, "windows": {"max_length": 64}, "seed": 4}
        | {"backbone": {"source": str(backbone), "reinit_layers": more.pop("layers", 1)}, **more}
    )
    return assemble(recipe, load_registry(), device=torch.device("cpu"))


def test_a_recipe_gets_fresh_layers_and_the_same_head(tiny_backbone: Path) -> None:
    plain, fresh = assembled(tiny_backbone, layers=0), assembled(tiny_backbone)
    theirs = dict(plain.model.named_parameters())
    differ = {name for name, p in fresh.model.named_parameters() if not torch.equal(p, theirs[name])}
    assert differ
    assert all(name.startswith("backbone.encoder.layer.1.") for name in differ)
    assert plain.fresh == ()
    assert {f"backbone.{name}" for name in fresh.fresh} >= differ


@pytest.mark.parametrize("adapter", ["bitfit", "lora", {"name": "freeze", "embeddings": False, "layers": 2}])
def test_an_adapter_that_would_leave_them_random_is_refused(tiny_backbone: Path, adapter: Any) -> None:
    with pytest.raises(ModelError, match=r"freezes weights that backbone\.reinit_layers has made random \(encoder"):
        assembled(tiny_backbone, adapter=adapter)
    assembled(tiny_backbone, adapter={"name": "freeze", "layers": 1})


def test_from_scratch_there_is_nothing_to_make_anew() -> None:
    block = {"source": "x", "init": "scratch", "reinit_layers": 1}
    with pytest.raises(ValueError, match="from scratch, every layer is fresh"):
        Recipe.model_validate({"data": {"reader": "squad"}, "backbone": block})
