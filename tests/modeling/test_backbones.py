"""Encoders: nothing is left silently random."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qakit.errors import ModelError
from qakit.modeling.backbones import load_backbone, load_tokenizer
from qakit.recipe.model import BackboneSection


@pytest.fixture
def backbone(tiny_backbone: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))


def section(folder: Path, **changes: object) -> BackboneSection:
    return BackboneSection.model_validate({"source": str(folder), **changes})


def test_pretrained_weights_are_those_of_the_file(backbone: Path) -> None:
    loaded = load_backbone(section(backbone), attention="eager")
    stored = load_file(backbone / "model.safetensors")
    state = loaded.module.state_dict()
    assert set(stored) == set(state)
    assert all(torch.equal(stored[name], state[name]) for name in stored)


def test_a_half_precision_file_is_loaded_as_float32(backbone: Path) -> None:
    stored = load_file(backbone / "model.safetensors")
    save_file(
        {name: tensor.half() for name, tensor in stored.items()}, backbone / "model.safetensors", {"format": "pt"}
    )
    config = json.loads((backbone / "config.json").read_text())
    (backbone / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    loaded = load_backbone(section(backbone), attention="eager")
    assert {p.dtype for p in loaded.module.parameters()} == {torch.float32}


def test_missing_weights_are_an_error(backbone: Path) -> None:
    stored = load_file(backbone / "model.safetensors")
    gone = "encoder.layer.1.output.dense.weight"
    save_file({n: t for n, t in stored.items() if n != gone}, backbone / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ModelError, match=r"1 weights are not in the file and would be random: encoder\.layer\.1\.output\.dense\.weight"
    ):
        load_backbone(section(backbone), attention="eager")


def test_weights_under_another_prefix_are_an_error_not_a_random_backbone(backbone: Path) -> None:
    stored = load_file(backbone / "model.safetensors")
    save_file({f"other.{n}": t for n, t in stored.items()}, backbone / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="would be random"):
        load_backbone(section(backbone), attention="eager")


def test_weights_of_another_shape_are_an_error(backbone: Path) -> None:
    with pytest.raises(ModelError, match=r"weights of another shape: .*\(32,\) in the file, \(64,\) in the model"):
        load_backbone(section(backbone, overrides={"hidden_size": 64}), attention="eager")


def test_extra_weights_are_listed(backbone: Path) -> None:
    stored = load_file(backbone / "model.safetensors")
    extra = {"qa_outputs.weight": torch.zeros(2, 32), "pooler.dense.bias": torch.zeros(32)}
    save_file(stored | extra, backbone / "model.safetensors", {"format": "pt"})
    assert load_backbone(section(backbone), attention="eager").unexpected == ("pooler.dense.bias", "qa_outputs.weight")


def test_an_unknown_override_is_an_error(backbone: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_backbone(section(backbone, overrides={"layers": 3}), attention="eager")
    assert str(caught.value) == "backbone.overrides: a bert configuration has no 'layers'"


def test_from_scratch_has_the_overridden_size_and_depends_on_the_seed_alone(backbone: Path) -> None:
    recipe = section(backbone, init="scratch", overrides={"num_hidden_layers": 1, "hidden_size": 16})
    weights = []
    for _ in range(2):
        torch.manual_seed(7)
        weights.append(load_backbone(recipe, attention="eager", vocabulary=900).module.state_dict())
    assert weights[0]["embeddings.word_embeddings.weight"].shape == (900, 16)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_from_scratch_needs_no_weights_but_pretrained_does(backbone: Path) -> None:
    (backbone / "model.safetensors").unlink()
    load_backbone(section(backbone, init="scratch"), attention="eager")
    with pytest.raises(ModelError, match=r"holds no weights \(model.safetensors or pytorch_model.bin\)"):
        load_backbone(section(backbone), attention="eager")


def test_a_tokenizer_with_more_tokens_than_embeddings_is_an_error(backbone: Path) -> None:
    with pytest.raises(ModelError, match="they do not belong together"):
        load_backbone(section(backbone), attention="eager", vocabulary=5000)


def test_a_folder_without_a_tokenizer_says_so(backbone: Path) -> None:
    for file in backbone.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="holds no tokenizer"):
        load_tokenizer(str(backbone))
