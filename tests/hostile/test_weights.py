"""A pickle gives tensors or is refused with what it holds; code of a model never runs unasked or unsaid."""

from __future__ import annotations

import ast
import json
import logging
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch

from qakit.errors import ModelError
from qakit.modeling import remote_code
from qakit.modeling.backbones import load_backbone, load_tokenizer
from qakit.recipe.model import BackboneSection

ROOT = Path(__file__).resolve().parents[2]


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return Path.write_text, (self.mark, "boom")  # type: ignore[return-value]


@pytest.fixture
def backbone(tiny_backbone: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_backbone, tmp_path / "backbone"))


def load(folder: Path, **settings: object) -> None:
    load_backbone(BackboneSection.model_validate({"source": str(folder), **settings}), attention="eager")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_with_what_it_wants(
    backbone: Path, tmp_path: Path, zipped: bool
) -> None:
    (backbone / "model.safetensors").unlink()
    torch.save(Bomb(tmp_path / "mark"), backbone / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ModelError, match=r"holds more than tensors: it wants \w+ from Python.*it is not loaded"
    ) as caught:
        load(backbone)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["model.pt", "weights.pth", "model.pkl", "last.ckpt"])
def test_pickles_of_other_names_are_not_opened(backbone: Path, tmp_path: Path, name: str) -> None:
    (backbone / "model.safetensors").unlink()
    torch.save(Bomb(tmp_path / "mark"), backbone / name)
    with pytest.raises(
        ModelError, match=rf"holds {re.escape(name)}, and qakit reads model.safetensors or pytorch_model"
    ):
        load(backbone)
    assert not (tmp_path / "mark").exists()


def test_a_pickle_beside_safetensors_is_left_alone(backbone: Path, tmp_path: Path) -> None:
    torch.save(Bomb(tmp_path / "mark"), backbone / "pytorch_model.bin")
    load(backbone)
    assert not (tmp_path / "mark").exists()


def test_an_adapter_is_no_backbone(backbone: Path) -> None:
    """transformers would load the adapter's weights, and whatever base model it names."""
    (backbone / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}), "utf-8")
    with pytest.raises(ModelError, match="holds an adapter"):
        load(backbone)


CODE = """\
from pathlib import Path
from transformers import BertConfig
Path({mark!r}).write_text("ran")
class OddConfig(BertConfig):
    model_type = "odd"
"""


@pytest.fixture
def with_code(backbone: Path, tmp_path: Path) -> Path:
    """A backbone whose configuration is a class of its own, in a file beside it."""
    config = json.loads((backbone / "config.json").read_text("utf-8"))
    auto = {"AutoConfig": "odd_config.OddConfig", "AutoModel": "evil/elsewhere--modeling.OddModel"}
    (backbone / "config.json").write_text(json.dumps(config | {"model_type": "odd", "auto_map": auto}), "utf-8")
    (backbone / "odd_config.py").write_text(CODE.format(mark=str(tmp_path / "mark")), "utf-8")
    remote_code._announce.cache_clear()
    return backbone


def test_code_of_a_model_does_not_run_unless_the_recipe_says_so(with_code: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"needs Python code.*backbone.trust_remote_code: true, which runs that code"):
        load(with_code)
    assert not (tmp_path / "mark").exists()


def test_and_then_it_is_said_before_it_runs_and_whose_it_is(
    with_code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    said_when_it_ran: list[bool] = []
    monkeypatch.setattr(
        "transformers.AutoConfig.from_pretrained",
        lambda *_, **__: said_when_it_ran.append("trust_remote_code is on" in caplog.text) or 1 / 0,
    )
    with caplog.at_level(logging.WARNING, "qakit"), pytest.raises(ModelError):
        load(with_code, trust_remote_code=True)
    assert said_when_it_ran == [True]
    assert str(with_code) in caplog.text and "'evil/elsewhere'" in caplog.text


def test_a_tokenizer_with_code_is_announced_too(
    tiny_backbone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(tiny_backbone, tmp_path / "tokenizer"))
    with caplog.at_level(logging.WARNING, "qakit"):
        load_tokenizer(str(folder))
        assert caplog.text == ""
        load_tokenizer(str(folder), trust_remote_code=True)
    assert "trust_remote_code is on" in caplog.text


@cache
def nodes() -> dict[Path, list[ast.AST]]:
    """Everything in the source of each module."""
    paths = [path for folder in ("qakit", "plugins") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 150
    return {path: list(ast.walk(ast.parse(path.read_text("utf-8")))) for path in paths}


def test_nothing_that_loads_pickles_or_runs_text_is_called() -> None:
    imports = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    calls = {
        "np.load",
        "numpy.load",
        "yaml.load",
        "eval",
        "exec",
        "os.system",
        "os.popen",
        "pd.read_pickle",
    }
    found = []
    for path, inside in nodes().items():
        for node in inside:
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Call):
                names = {ast.unparse(node.func)} & calls
                shell = [word for word in node.keywords if word.arg == "shell" and ast.unparse(word.value) != "False"]
                names |= {"shell=True"} if shell else set()
                found += [f"{path.name}:{node.lineno} {name}" for name in names]
                continue
            else:
                continue
            found += [f"{path.name}:{node.lineno} import {name}" for name in names & imports]
    assert [each for each in found if each.split(":")[0] + each[each.rindex(" ") :] != "plugin_code.py exec"] == []
    assert len(found) == 1, "plugin files, whose callers tests/cli/test_plugin_files.py knows"


def test_models_get_their_weights_from_us() -> None:
    """transformers opens no weight file by itself: each call that makes a pretrained model is given the weights."""
    found = [
        "state_dict" in {word.arg for word in node.keywords}
        for inside in nodes().values()
        for node in inside
        if isinstance(node, ast.Call) and re.search(r"(Model\w*|kind)\.from_pretrained$", ast.unparse(node.func))
    ]
    assert found and all(found)


def test_the_one_place_that_opens_a_pickle_lets_it_make_tensors_only() -> None:
    calls = [
        {word.arg: ast.unparse(word.value) for word in node.keywords}
        for inside in nodes().values()
        for node in inside
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert [call.get("weights_only") for call in calls] == ["True"]
