"""A backbone whose classes come with it: the run keeps their files, so it can be opened where the source is gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from qakit.errors import RunError
from qakit.inference.scoring import prepare
from qakit.modeling.assemble import Assembled, assemble
from qakit.modeling.folder import load_model, save_model
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import Example

CODE = {
    "configuration_odd.py": """\
from transformers import BertConfig
class OddConfig(BertConfig):
    model_type = "odd"
""",
    "modeling_odd.py": """\
from transformers import BertModel
from .configuration_odd import OddConfig
from .scale import twice
class OddModel(BertModel):
    config_class = OddConfig
    def __init__(self, config, add_pooling_layer=True):
        super().__init__(config, add_pooling_layer)
    def forward(self, **inputs):
        output = super().forward(**inputs)
        output.last_hidden_state = twice(output.last_hidden_state)
        return output
""",
    "scale.py": "def twice(value):\n    return 2 * value\n",
}
AUTO = {"AutoConfig": "configuration_odd.OddConfig", "AutoModel": "modeling_odd.OddModel"}
EXAMPLE = Example("q", "Who were the Normans?", ("The Normans were the people who gave their name to Normandy. ",))


@pytest.fixture
def odd_backbone(tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = Path(shutil.copytree(tiny_backbone, tmp_path / "odd"))
    config = json.loads((folder / "config.json").read_text("utf-8")) | {"model_type": "odd", "auto_map": AUTO}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    for name, code in CODE.items():
        (folder / name).write_text(code, "utf-8")
    return folder


@torch.inference_mode()
def start(assembled: Assembled, recipe: Recipe) -> torch.Tensor:
    prepared = prepare([EXAMPLE], assembled, recipe, load_registry())
    return assembled.model.eval()(prepared.collator.collate(prepared.batches[0], targets=False)).scores["start"]


def recipe_of(source: Path, *, trusted: bool) -> Recipe:
    backbone = {"source": str(source), "trust_remote_code": trusted}
    return Recipe.model_validate({"data": {"reader": "squad"}, "backbone": backbone, "windows": {"max_length": 64}})


def test_a_run_of_a_backbone_with_code_opens_without_its_source(odd_backbone: Path, tmp_path: Path) -> None:
    recipe, registry, cpu = recipe_of(odd_backbone, trusted=True), load_registry(), torch.device("cpu")
    assembled = assemble(recipe, registry, device=cpu)
    before = start(assembled, recipe)
    save_model(assembled, tmp_path / "model", decision={})
    shutil.rmtree(odd_backbone)
    assert {file.name for file in (tmp_path / "model").rglob("*.py")} == set(CODE)
    loaded = load_model(tmp_path / "model", recipe, registry, device=cpu)
    assert type(loaded.model.backbone).__name__ == "OddModel"
    assert torch.equal(start(loaded, recipe), before)
    with pytest.raises(RunError, match="needs Python code that comes with the model"):
        load_model(tmp_path / "model", recipe_of(odd_backbone, trusted=False), registry, device=cpu)


def test_no_code_goes_with_a_model_of_transformers_own(tiny_backbone: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_backbone, tmp_path / "plain"))
    (source / "train.py").write_text("1 / 0")
    recipe = recipe_of(source, trusted=True)
    save_model(assemble(recipe, load_registry(), device=torch.device("cpu")), tmp_path / "model", decision={})
    assert not list((tmp_path / "model").rglob("*.py"))
