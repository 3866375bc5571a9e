"""Training, evaluating and predicting on data that a recipe names on the hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Invoke, checkpoints_kept
from hub import datasets
from hub.environment import pointed_at, variables
from hub.server import HubServer
from safetensors.torch import load_file, save_file

from qakit.hub import _listing
from qakit.recipe.hub_data import HubSplit
from qakit.runs import Run

REST = """\
windows: {max_length: 64, max_question_length: 24}
preprocess:
  train: {name: stride, overlap: 8}
  predict: {name: stride, overlap: 8}
train: {epochs: 2, batch_size: 8, learning_rate: 1e-3, precision: fp32, checkpoint_every: 2}
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A hub with one reading set, and an empty cache of qakit's."""
    with (
        HubServer() as server,
        pointed_at(variables(server.url, tmp_path_factory.mktemp("hf-home"))),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("QAKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        server.publish_dataset("o/towns", datasets.squad(version_2=True))
        yield server


@pytest.fixture(scope="module")
def recipe(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "towns.yaml"
    path.write_text(
        f"""\
data:
  reader: squad
  train: {{dataset: o/towns, split: train}}
  validation: hf://datasets/o/towns/data/validation-*
  test: {{dataset: o/towns, split: validation}}
backbone: {{source: {tiny_backbone}}}
{REST}""",
        "utf-8",
    )
    return path


@pytest.fixture(scope="module")
def run(recipe: Path, town: HubServer, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained, and then the dataset moves on, and this process forgets what the hub said."""
    folder = tmp_path_factory.mktemp("runs") / "towns"
    with checkpoints_kept():
        result = invoke("train", recipe, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    town.publish_dataset("o/towns", datasets.reading())
    _listing.cache_clear()
    return folder


def commit_of(town: HubServer) -> str:
    """Of what was published first."""
    return next(iter(town.repositories["datasets", "o/towns"].history))


def test_a_run_keeps_and_notes_the_commit_of_its_data(run: Path, town: HubServer) -> None:
    commit = commit_of(town)
    recipe = Run(run).recipe()
    assert recipe.data.train == HubSplit(dataset="o/towns", split="train", revision=commit)
    assert recipe.data.validation == f"hf://datasets/o/towns@{commit}/data/validation-*"
    noted = json.loads((run / "meta.json").read_text("utf-8"))["data"]
    assert noted["train"]["hub"] == [f"o/towns@{commit} train"]
    assert noted["train"]["examples"] == datasets.ROWS["train"]
    (digest,) = noted["train"]["files"].values()
    assert len(digest) == 64
    assert json.loads((run / "predictions" / "meta.json").read_text("utf-8"))["rows"] == datasets.ROWS["validation"]


def test_what_is_asked_of_the_run_later_is_answered_on_the_same_data(run: Path, invoke: Invoke, tmp_path: Path) -> None:
    before = json.loads((run / "metrics.json").read_text("utf-8"))["validation"]
    evaluated = json.loads(invoke("evaluate", run, "--json").output)
    assert evaluated["figures"] == pytest.approx(before)
    answers = tmp_path / "answers.csv"
    assert invoke("predict", run, "--split", "train", "--output", answers).exit_code == 0
    assert len(answers.read_text("utf-8").splitlines()) == 1 + datasets.ROWS["train"]


def test_a_resumed_training_reads_the_same_data(run: Path, invoke: Invoke) -> None:
    log = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.json").unlink()
    for checkpoint in (run / "checkpoints").iterdir():
        if checkpoint.name != "step-00000002":
            shutil.rmtree(checkpoint)
    result = invoke("train", "--resume", "--output", run, "--quiet")
    assert result.exit_code == 0, result.output
    assert (run / "metrics.jsonl").read_bytes() == log


def test_commands_take_files_on_the_hub(run: Path, town: HubServer, invoke: Invoke, tmp_path: Path) -> None:
    file = f"hf://datasets/o/towns@{commit_of(town)}/data/validation-00000-of-00001.parquet"
    assert json.loads(invoke("evaluate", run, "--input", file, "--json").output)["questions"] == 10
    answers = tmp_path / "answers.csv"
    assert invoke("predict", run, "--input", file, "--output", answers).exit_code == 0
    assert len(answers.read_text("utf-8").splitlines()) == 11
    folder = tmp_path / "answers"
    many = f"hf://datasets/o/towns@{commit_of(town)}/data/*.parquet"
    assert invoke("predict", run, "--input", many, "--output", folder).exit_code == 0
    assert len(list(folder.glob("*.parquet"))) == 2
    result = invoke("evaluate", run, "--input", many)
    assert (result.exit_code, "stands for 2 files" in str(result.exception)) == (2, True)
    checked = invoke("data", "check", "--reader", "squad", file, "--json")
    assert checked.exit_code == 0, checked.output
    converted = invoke(
        "data", "convert", file, "--reader", "squad", "--to", "jsonl", "--output", tmp_path / "converted"
    )
    assert converted.exit_code == 0, converted.output


def test_a_notebook_without_network_cannot_answer_questions_on_the_hub(
    run: Path, invoke: Invoke, tmp_path: Path
) -> None:
    result = invoke("export", run, "--kaggle", tmp_path / "out", "--competition", "some-cup", "--user", "ada")
    assert result.exit_code == 2
    assert "has its test questions from the hub (data.test)" in str(result.exception)


def test_a_dry_run_and_the_data_doctor_look_at_the_hub(recipe: Path, town: HubServer, invoke: Invoke) -> None:
    settings = (
        "--set",
        f"data.train.revision={commit_of(town)}",
        "--set",
        "data.validation=null",
        "--set",
        "data.test=null",
    )
    assert invoke("train", recipe, "--dry-run", *settings).exit_code == 0
    assert invoke("data", "check", recipe, *settings).exit_code == 0


def test_without_network_the_recipe_says_where_and_what(recipe: Path, invoke: Invoke, tmp_path: Path, hub) -> None:
    hub.stop()
    result = invoke("train", recipe, "--output", tmp_path / "run")
    assert result.exit_code == 2
    said = str(result.exception).split("\n\n")
    assert len(said) == 1  # for all three splits
    assert said[0].startswith(f"{recipe}:3:20: data.train: dataset 'o/towns': the hub (http://127.0.0.1")
    assert "cannot be reached" in said[0].splitlines()[0]
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_the_commit_of_its_backbone(
    hub: HubServer, tiny_backbone: Path, small_recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    """Its weights are in the hub's cache alone where an adapter is trained."""
    commit = hub.publish("o/model", tiny_backbone)
    options = ("--set", "backbone.source=o/model", "--set", "adapter=lora", "--set", "train.max_steps=2", "--quiet")
    first, second = tmp_path / "first", tmp_path / "second"
    done = invoke("train", small_recipe, "--output", first, *options)
    assert done.exit_code == 0, done.output
    assert Run(first).recipe().backbone.revision == commit
    with checkpoints_kept():
        assert invoke("train", small_recipe, "--output", second, *options).exit_code == 0

    other = tmp_path / "other"
    shutil.copytree(tiny_backbone, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: -each for name, each in weights.items()}, other / "model.safetensors", {"format": "pt"})
    hub.publish("o/model", other)
    _listing.cache_clear()  # as in a new process
    (second / "metrics.json").unlink()
    for late in sorted((second / "checkpoints").glob("step-*"))[:-1]:
        shutil.rmtree(late)
    resumed = invoke("train", "--resume", "--output", second, "--quiet")
    assert resumed.exit_code == 0, resumed.output
    for name in ("metrics.jsonl", "predictions/submission.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert invoke("train", small_recipe, "--output", tmp_path / "new", *options).exit_code == 0
    assert Run(tmp_path / "new").recipe().backbone.revision != commit
