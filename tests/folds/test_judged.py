"""Trainings that build on others and are judged: what may be known along the way is refused, or left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import checkpoints_kept

from qakit.errors import UsageError
from qakit.files import write_json
from qakit.runs import Run
from qakit.training.fingerprints import Seen

pytestmark = pytest.mark.slow


def meta(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "meta.json").read_text("utf-8"))


def options_of(*changes: str) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


@pytest.fixture(scope="module")
def judged_recipe_file(fold_recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with validation questions of which the run ``whole`` knows all, and a copy of them without answers."""
    folder = tmp_path_factory.mktemp("judged")
    document = json.loads((fold_recipe_file.parent / "train.json").read_text("utf-8"))
    articles = document["data"]
    for name, part in (("train", articles[:5]), ("valid", articles[5:])):
        (folder / f"{name}.json").write_text(json.dumps(document | {"data": part}), "utf-8")
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                del question["answers"]
    for name, part in (("unlabelled", articles[5:]), ("more", articles[4:])):
        (folder / f"{name}.json").write_text(json.dumps(document | {"data": part}), "utf-8")
    path = folder / "judged.yaml"
    changes = "data: {train: train.json, validation: valid.json, test: null}\nfolds: null\ntrain: {max_steps: 1}\n"
    path.write_text(f"extends: {fold_recipe_file}\n{changes}", "utf-8")
    return path


@pytest.fixture(scope="module")
def innocent(judged_recipe_file: Path, invoke: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has not seen those."""
    folder = tmp_path_factory.mktemp("innocent") / "run"
    result = invoke("train", judged_recipe_file, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    return folder


def test_weights_that_leave_a_run_keep_what_it_has_seen(
    judged_recipe_file: Path, whole: Path, innocent: Path, invoke: Any, tmp_path: Path
) -> None:
    (tmp_path / "mill.txt").write_text(
        "\n\n".join(f"The mill of part {part} has towers." for part in range(9)), "utf-8"
    )
    settings = options_of("max_steps=1", "max_length=64", "precision=fp32")
    for name, run in (("whole", whole), ("innocent", innocent)):
        merged, further = tmp_path / f"{name}-merged", tmp_path / f"{name}-further"
        assert invoke("export", run, "--merge", "--output", merged).exit_code == 0
        text = ("--text", tmp_path / "mill.txt", "--backbone", merged)
        result = invoke("pretrain", *text, "--output", further, *settings, "--quiet")
        assert result.exit_code == 0, result.output
        assert json.loads((further / "pretrain.json").read_text("utf-8"))["builds_on"].keys() == {"backbone.source"}
        for weights in (merged, further):
            begun = options_of(f"backbone.source={weights}")
            result = invoke(
                "train", judged_recipe_file, *begun, "--output", tmp_path / f"{weights.name}-run", "--quiet"
            )
            if name == "innocent":
                assert result.exit_code == 0, result.output
                assert meta(tmp_path / f"{weights.name}-run")["builds_on"] == {
                    "backbone.source": {"folder": str(weights)}
                }
            else:
                assert isinstance(result.exception, UsageError), result.output
                assert f"backbone.source: {weights} was trained on" in str(result.exception)


def test_the_whole_model_of_an_adapter_is_made_as_the_message_says(
    judged_recipe_file: Path, invoke: Any, tmp_path: Path
) -> None:
    adapter = options_of("train.keep=adapter", "adapter=bitfit")
    assert invoke("train", judged_recipe_file, *adapter, "--output", tmp_path / "ad", "--quiet").exit_code == 0
    result = invoke(
        "train", judged_recipe_file, *options_of(f"backbone.from_run={tmp_path / 'ad'}"), "--output", tmp_path / "run"
    )
    command = str(result.exception).partition("`qakit ")[2].partition("`")[0]
    result = invoke(*(str(tmp_path / "merged") if part == "FOLDER" else part for part in command.split()))
    assert result.exit_code == 0, result.output
    begun = options_of(f"backbone.source={tmp_path / 'merged'}")
    result = invoke("train", judged_recipe_file, *begun, *adapter, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    small = tmp_path / "small"
    assert invoke("export", tmp_path / "run", "--adapter-only", "--output", small).exit_code == 0
    assert (small / "seen.safetensors").read_bytes() == (tmp_path / "run" / "seen.safetensors").read_bytes()


def test_it_is_said_that_layers_are_made_anew(
    judged_recipe_file: Path, innocent: Path, invoke: Any, tmp_path: Path
) -> None:
    begun = options_of(f"backbone={{from_run: {innocent}, reinit_layers: 1}}")
    result = invoke("train", judged_recipe_file, *begun, "--output", tmp_path / "run")
    assert result.exit_code == 0, result.output
    said = f"and the head of {innocent}, but for the top 1 of its layers, which are fresh (backbone.reinit_layers)"
    assert said in " ".join(result.output.split())


def test_an_ensemble_hands_on_what_its_members_have_seen(
    judged_recipe_file: Path, fold_recipe_file: Path, whole: Path, invoke: Any, tmp_path: Path
) -> None:
    answered = options_of(f"data.test={fold_recipe_file.parent / 'test.json'}")
    assert invoke("train", judged_recipe_file, *answered, "--output", tmp_path / "one", "--quiet").exit_code == 0
    result = invoke("ensemble", tmp_path / "one", whole, "--folder", tmp_path / "both", "--quiet")
    assert result.exit_code == 0, result.output
    labels = options_of(f"pseudo={{from_run: {tmp_path / 'both'}, min_confidence: 0}}")
    result = invoke("train", judged_recipe_file, *answered, *labels, "--output", tmp_path / "run")
    assert isinstance(result.exception, UsageError), result.output
    assert f"pseudo.from_run: {tmp_path / 'both'} was trained on" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_validation_questions_are_never_pseudo_labelled(
    judged_recipe_file: Path, innocent: Path, invoke: Any, tmp_path: Path
) -> None:
    labels = f"pseudo={{from_run: {innocent}, min_confidence: 0, file: %s}}"
    alone = options_of(labels % (judged_recipe_file.parent / "unlabelled.json"))
    result = invoke("train", judged_recipe_file, *alone, "--output", tmp_path / "none")
    assert isinstance(result.exception, UsageError), result.output
    assert "among the validation questions: name another pseudo.file" in str(result.exception)

    among = options_of(labels % (judged_recipe_file.parent / "more.json"))
    result = invoke("train", judged_recipe_file, *among, "--output", tmp_path / "run")
    assert result.exit_code == 0, result.output
    data = meta(tmp_path / "run")["data"]
    labelled = data["pseudo"]["examples"]
    assert f"left out: {data['validation']['examples']} among the validation questions" in " ".join(
        result.output.split()
    )
    assert list(data["pseudo"]["files"]) == [str(judged_recipe_file.parent / "more.json")]
    assert data["train"]["examples"] == meta(innocent)["data"]["train"]["examples"]
    documents = json.loads((judged_recipe_file.parent / "more.json").read_text("utf-8"))["data"]
    assert labelled == sum(len(each["qas"]) for each in documents[0]["paragraphs"])


def test_labels_of_another_kind_than_the_head_learns_are_refused(
    judged_recipe_file: Path, innocent: Path, invoke: Any, tmp_path: Path
) -> None:
    labels = f"pseudo={{from_run: {innocent}, min_confidence: 0, file: {judged_recipe_file.parent / 'more.json'}}}"
    other = options_of(
        labels,
        "head=classifier",
        "metric=accuracy",
        "data.labels=[a, b]",
        "data.validation=null",
        "predict.character_scores=false",
    )
    result = invoke("train", judged_recipe_file, *other, "--output", tmp_path / "run")
    assert isinstance(result.exception, UsageError), result.output
    assert "gives spans, but the head 'classifier' learns labels" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_a_resumed_training_remembers_the_files_that_it_began_with(
    judged_recipe_file: Path, innocent: Path, invoke: Any, tmp_path: Path
) -> None:
    for name in ("train", "more"):
        shutil.copy(judged_recipe_file.parent / f"{name}.json", tmp_path)
    labeller = Run(shutil.copytree(innocent, tmp_path / "labeller"))
    changes = (
        f"data.train={tmp_path / 'train.json'}",
        f"pseudo={{from_run: {labeller.folder}, min_confidence: 0, file: {tmp_path / 'more.json'}}}",
        "train.max_steps=2",
        "train.checkpoint_every=1",
    )
    with checkpoints_kept():
        result = invoke("train", judged_recipe_file, *options_of(*changes), "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    run = Run(tmp_path / "run")
    run.metrics_file.unlink()
    before = Seen.read(run.seen_file)
    shutil.rmtree(run.checkpoints / "step-00000002")
    for name, part in (("train", slice(1, None)), ("more", slice(0, 1))):
        document = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
        (tmp_path / f"{name}.json").write_text(json.dumps(document | {"data": document["data"][part]}), "utf-8")
    decision = labeller.read_json(labeller.decision_file)
    write_json(labeller.decision_file, decision | {"step": 7})  # of other weights
    result = invoke("train", "--resume", "--output", run.folder)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    for name in ("train", "pseudo"):
        assert f"the {name} files are not those that this run began with" in said
    assert "pseudo.from_run is now of another training than the one that this run began with" in said
    after = Seen.read(run.seen_file)
    assert after.records.tolist() == before.records.tolist()
    assert after.contexts.tolist() == before.contexts.tolist()
