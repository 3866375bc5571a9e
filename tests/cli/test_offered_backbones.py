"""A backbone that a plugin offers (`qakit_register_backbones`): trained, kept, resumed, and answering."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke, checkpoints_kept
from offered import PACKAGES, installed

from qakit.errors import UsageError
from qakit.handin.settings import describe
from qakit.recipe.load import recipe_of
from qakit.registry import load_registry
from qakit.runs import open_run

ENCODER = "{name: bilstm, embedding: 12, width: 8, layers: 2}"


@dataclass(frozen=True)
class Trained:
    recipe: Path
    run: Path


@pytest.fixture(scope="module")
def bilstm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The BiLSTM of the guide, installed."""
    with installed(PACKAGES / "bilstm", tmp_path_factory.mktemp("bilstm")):
        yield


@pytest.fixture(scope="module")
def trained(
    bilstm: None, small_recipe: Path, tiny_backbone: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A finished run of it, its checkpoints kept."""
    folder = tmp_path_factory.mktemp("bilstm-run")
    recipe = folder / "bilstm.yaml"
    recipe.write_text(
        f"extends: {small_recipe}\n"
        f"backbone: {{architecture: {ENCODER}, tokenizer: {tiny_backbone}}}\n"
        "windows: {max_length: 64, max_question_length: 16}\n"
        "train: {evaluate_before: false}\n"
    )
    with checkpoints_kept():
        result = invoke("train", recipe, "--output", folder / "run", "--quiet")
    assert result.exit_code == 0, result.output
    return Trained(recipe, folder / "run")


def test_it_is_listed_with_its_settings(bilstm: None, invoke: Invoke) -> None:
    listed = json.loads(invoke("plugins", "--kind", "backbones", "--json").stdout)["components"]
    (found,) = (each for each in listed if each["name"] == "bilstm")
    assert (found["package"], found["kind"]) == ("qakit-bilstm", "backbones")
    assert [each["name"] for each in found["settings"]] == ["embedding", "width", "layers", "dropout"]


def test_a_run_of_it_is_resumed_bit_for_bit(trained: Trained, invoke: Invoke, tmp_path: Path) -> None:
    again = tmp_path / "run"
    shutil.copytree(trained.run, again)
    for step in sorted((again / "checkpoints").iterdir())[1:]:  # as if it had been killed after the first one
        shutil.rmtree(step)
    (again / "metrics.json").unlink()
    shutil.rmtree(again / "model")
    result = invoke("train", "--resume", "--output", again, "--quiet")
    assert result.exit_code == 0, result.output
    for file in ("model/model.safetensors", "model/config.json", "metrics.jsonl", "predictions/nbest.jsonl"):
        assert (again / file).read_bytes() == (trained.run / file).read_bytes(), file


def test_its_configuration_says_which_plugin_made_it_and_names_no_file(trained: Trained) -> None:
    config = json.loads((trained.run / "model" / "config.json").read_text())
    assert config["model_type"] == "bilstm"
    assert config["hidden_size"] == 16
    assert config["qakit_backbone"] == {
        "settings": {"embedding": 12, "width": 8, "layers": 2, "dropout": 0.2},
        "package": "qakit-bilstm",
        "version": "0.1.0",
    }
    assert json.loads((trained.run / "meta.json").read_text())["plugins"]["backbone.architecture"].startswith("bilstm ")


def test_it_evaluates_predicts_and_answers(trained: Trained, invoke: Invoke, tmp_path: Path) -> None:
    judged = invoke("evaluate", trained.run, "--json")
    assert judged.exit_code == 0, judged.output
    kept = json.loads((trained.run / "metrics.json").read_text())["validation"]
    assert json.loads(judged.stdout)["figures"] == pytest.approx(kept)
    written = invoke("predict", trained.run, "--split", "test", "--output", tmp_path / "answers.csv")
    assert written.exit_code == 0, written.output
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 9
    asked = invoke("ask", trained.run, "How often?", "--context", "The tide comes twice a day.", "--json")
    assert asked.exit_code == 0, asked.output
    assert "model of type" not in asked.stderr, "transformers wonders at the configuration"


def test_another_run_begins_with_its_weights(trained: Trained, invoke: Invoke, tmp_path: Path) -> None:
    recipe = tmp_path / "on.yaml"
    recipe.write_text(f"extends: {trained.recipe}\nbackbone: {{from_run: {trained.run}}}\ntrain: {{max_steps: 1}}\n")
    result = invoke("train", recipe, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["model_type"] == "bilstm"


def test_without_its_plugin_the_run_says_which_package_it_needs(
    trained: Trained, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QAKIT_DISABLE_PLUGINS", "qakit-bilstm")
    load_registry.cache_clear()
    try:
        result = invoke("ask", trained.run, "?", "--context", "a b")
    finally:
        monkeypatch.undo()
        load_registry.cache_clear()
    assert result.exit_code == 2
    assert "needs qakit-bilstm 0.1.0 (the backbone 'bilstm')" in " ".join(f"{result.output} {result.exception}".split())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"settings": None},
            "is damaged: {model}/config.json is not a usable configuration: qakit_backbone has no",
        ),
        ({"settings": {"width": 8, "depth": 2}}, "backbone 'bilstm': there is no setting 'depth'"),
        (
            {"settings": {"width": 7}},
            "config.json says that the backbone 'bilstm' has hidden_size 16, but",
        ),
        ({"settings": {"width": 8, "embedding": 9, "layers": 2}}, "do not fit the recipe's BiLstm"),
    ],
)
def test_a_damaged_configuration_is_one_line(
    trained: Trained, invoke: Invoke, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.run, run, ignore=shutil.ignore_patterns("checkpoints"))
    file = run / "model" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"qakit_backbone": config["qakit_backbone"] | change}))
    result = invoke("ask", run, "?", "--context", "a b")
    assert result.exit_code == 2
    assert said.format(model=run / "model") in " ".join(f"{result.output} {result.exception}".split())


def test_the_predictor_for_graders_has_no_code_for_it(trained: Trained) -> None:
    with pytest.raises(UsageError, match=r"the backbone's architecture \(bilstm\)"):
        describe(open_run(trained.run), load_registry())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("init: pretrained", "an architecture is trained from scratch"),
        ("overrides: {hidden_size: 4}", "an architecture has settings of its own"),
    ],
)
def test_what_does_not_go_with_an_architecture_is_told_with_its_place(
    trained: Trained, invoke: Invoke, tmp_path: Path, more: str, said: str
) -> None:
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text(f"extends: {trained.recipe}\nbackbone: {{{more}}}\n")
    result = invoke("recipes", "validate", recipe)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_a_setting_of_it_is_checked_where_it_stands(trained: Trained, invoke: Invoke, tmp_path: Path) -> None:
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text(f"extends: {trained.recipe}\nbackbone:\n  architecture: {{widht: 8}}\n")
    result = invoke("recipes", "validate", recipe)
    assert result.exit_code == 2
    assert "wrong.yaml:3:18: unknown key 'widht'" in " ".join(result.output.split())


def test_an_architecture_in_place_of_a_pretrained_encoder_takes_none_of_its_keys(bilstm: None, tmp_path: Path) -> None:
    values = {
        "data": {"reader": "squad", "train": "x.json"},
        "backbone": {"source": "x", "init": "pretrained", "overrides": {"hidden_size": 4}, "sha256": "0" * 64},
    }
    recipe = recipe_of(values, ["backbone.architecture=bilstm"])
    assert (recipe.backbone.init, recipe.backbone.overrides, recipe.backbone.sha256) == ("scratch", {}, None)


def test_one_without_a_tokenizer_of_its_own_asks_for_one(
    bilstm: None, small_recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    recipe = tmp_path / "bare.yaml"
    recipe.write_text(f"extends: {small_recipe}\nbackbone: {{source: null, architecture: {ENCODER}}}\n")
    result = invoke("train", recipe, "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert "'bilstm' has no tokenizer of its own: name a folder or model" in " ".join(str(result.exception).split())
    assert not (tmp_path / "run").exists()


OWN_TOKENIZER = """
class Bag(Settings):
    words: str = "a b c"
    vectors: RecipePath | None = None

def encoder(settings, runtime):
    import torch
    from qakit.api import BackboneOutput
    class Encoder(torch.nn.Module):
        hidden_size = 6
        def __init__(self):
            super().__init__()
            self.embeddings = torch.nn.Embedding(runtime.vocabulary, 6)
        def forward(self, input_ids, attention_mask, token_type_ids):
            assert token_type_ids.max() == 1
            return BackboneOutput(self.embeddings(input_ids))
    return Encoder()

def tokenizer(settings):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *settings.words.split()]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=names, **special)

@hookimpl
def qakit_register_backbones():
    return [component("bag", settings=Bag, build=encoder, tokenizer=tokenizer)]
"""


def test_one_with_a_tokenizer_of_its_own_needs_no_source(
    small_recipe: Path, invoke: Invoke, tmp_path: Path, install: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    install("words", bags="from qakit.api import RecipePath\n" + OWN_TOKENIZER)
    load_registry.cache_clear()
    request.addfinalizer(load_registry.cache_clear)
    recipe = tmp_path / "own.yaml"
    (tmp_path / "vectors.txt").touch()
    recipe.write_text(
        f"extends: {small_recipe}\n"
        "backbone: {source: null, architecture: {name: bag, words: the of in tide, vectors: ./vectors.txt}}\n"
        "train: {max_steps: 1}\n"
    )
    result = invoke("train", recipe, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["qakit_backbone"]["settings"] == {"words": "the of in tide"}, "a model folder names no file"
    assert (config["vocab_size"], config["type_vocab_size"]) == (8, 2)
    asked = invoke("ask", tmp_path / "run", "What comes?", "--context", "The tide comes.", "--json")
    assert asked.exit_code == 0, asked.output
