"""Trainings that build on others: weights, pseudo-labels and hard negatives, and the leaks that these may bring."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from qakit.data.splits import read_split
from qakit.errors import RunError, UsageError
from qakit.registry import load_registry
from qakit.runs import Run
from qakit.training.fingerprints import Seen
from qakit.training.pseudo import PREFIX

pytestmark = pytest.mark.slow


def meta(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "meta.json").read_text("utf-8"))


def test_a_run_begins_with_anothers_encoder_and_head(
    fold_recipe_file: Path, whole: Path, invoke: Any, tmp_path: Path
) -> None:
    still = ("--set", "folds=null", "--set", "train.max_steps=1", "--set", "train.learning_rate=1e-12")
    common = (fold_recipe_file, *still, "--set", f"backbone.from_run={whole}", "--set", "train.weight_decay=0")
    result = invoke("train", *common, "--output", tmp_path / "next")
    assert result.exit_code == 0, result.output
    assert f"begins with the encoder and the head of {whole}" in " ".join(result.output.split())
    then, now = (load_file(folder / "model" / "model.safetensors") for folder in (whole, tmp_path / "next"))
    assert then.keys() == now.keys()
    assert all((then[name] - now[name]).abs().max() < 1e-6 for name in then)
    edge = meta(tmp_path / "next")["builds_on"]["backbone.from_run"]
    recipe = meta(whole)["recipe_sha256"]
    known = {"train": edge["train"], "decisions": edge["decisions"]}
    assert edge == {"run": str(whole), "recipe_sha256": recipe, **known}
    assert list(edge["train"]) == [str(fold_recipe_file.parent / "train.json")]

    result = invoke("train", *common, "--set", "head=joint_span", "--output", tmp_path / "other")
    assert result.exit_code == 0, result.output
    assert "the head is fresh: that run's is linear_span" in " ".join(result.output.split())


def test_runs_that_cannot_be_begun_with(fold_recipe_file: Path, folded: Path, invoke: Any, tmp_path: Path) -> None:
    alone = ("--set", "folds=null", "--output", tmp_path / "run")
    result = invoke("train", fold_recipe_file, *alone, "--set", f"backbone.from_run={tmp_path / 'none'}")
    assert "backbone.from_run: file not found" in str(result.exception)
    result = invoke("train", fold_recipe_file, *alone, "--set", f"backbone.from_run={folded}")
    assert f"is made of several models: name the run of one of them, such as {folded / 'fold-1'}" in str(
        result.exception
    )
    adapter = ("--set", "train.keep=adapter", "--set", "adapter=bitfit", "--set", "train.max_steps=1")
    result = invoke("train", fold_recipe_file, "--set", "folds=null", "--output", tmp_path / "ad", *adapter, "--quiet")
    assert result.exit_code == 0, result.output
    result = invoke("train", fold_recipe_file, *alone, "--set", f"backbone.from_run={tmp_path / 'ad'}")
    assert "keeps only what it trained" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_folds_that_begin_with_a_run_that_saw_their_parts_are_refused(
    fold_recipe_file: Path, whole: Path, invoke: Any, tmp_path: Path
) -> None:
    edges = (
        f"backbone.from_run={whole}",
        f"backbone.source={whole / 'model'}",
        f"pseudo.from_run={whole}",
        f"preprocess.train={{name: stride, negatives: 1, hard_negatives: {{from_run: {whole}}}}}",
    )
    for edge in edges:
        result = invoke("train", fold_recipe_file, "--set", edge, "--output", tmp_path / "run")
        assert isinstance(result.exception, UsageError), result.output
        text = str(result.exception)
        assert f"{edge.partition('=')[0].removesuffix('.train')}" in text
        assert f"{whole} was trained on" in text
        assert "name a run of the same folds" in text
        assert not (tmp_path / "run").exists()


def test_folds_begin_with_the_same_folds_of_another_run(
    fold_recipe_file: Path, folded: Path, invoke: Any, tmp_path: Path
) -> None:
    edges = ("--set", f"backbone.from_run={folded}", "--set", "train.max_steps=1", "--output", tmp_path / "run")
    result = invoke("train", fold_recipe_file, *edges, "--fold", "2", "--json")
    assert result.exit_code == 0, result.output
    fold = Run(tmp_path / "run" / "fold-2")
    assert fold.recipe().backbone.from_run == str(folded / "fold-2")
    assert meta(fold.folder)["builds_on"]["backbone.from_run"]["run"] == str(folded / "fold-2")

    other = ("--set", "folds.seed=1", "--output", tmp_path / "other", *edges[:4])
    result = invoke("train", fold_recipe_file, *other)
    assert isinstance(result.exception, UsageError)
    assert "its folds are others (seed 0; here seed 1)" in str(result.exception)


def test_a_leak_is_found_along_the_way(fold_recipe_file: Path, whole: Path, invoke: Any, tmp_path: Path) -> None:
    """The run in the middle has seen nothing of the folds, but it began with one that has."""
    middle = tmp_path / "middle.yaml"
    other = {"context": "The mill is made of wood.", "qas": [{"id": "m", "question": "Of what is the mill made?"}]}
    other["qas"][0]["answers"] = [{"text": "wood", "answer_start": 20}]  # type: ignore[index]
    document = {"data": [{"title": "mill", "paragraphs": [other]}]}
    (tmp_path / "mill.json").write_text(json.dumps(document), "utf-8")
    changes = f"data: {{train: mill.json, test: null}}\nbackbone: {{from_run: {whole}}}\nfolds: null\n"
    middle.write_text(f"extends: {fold_recipe_file}\n{changes}", "utf-8")
    result = invoke("train", middle, "--output", tmp_path / "middle", "--quiet")
    assert result.exit_code == 0, result.output
    assert len(Seen.read(tmp_path / "middle" / "seen.safetensors").contexts) == 13 + 1
    result = invoke(
        "train", fold_recipe_file, "--set", f"backbone.from_run={tmp_path / 'middle'}", "--output", tmp_path / "run"
    )
    assert isinstance(result.exception, UsageError)
    assert f"{tmp_path / 'middle'} was trained on" in str(result.exception)


def test_pseudo_labels_come_from_the_model_that_did_not_see_the_part(
    fold_recipe_file: Path, folded: Path, invoke: Any, tmp_path: Path
) -> None:
    options = (f"pseudo={{from_run: {folded}, min_confidence: 0}}", "train.max_steps=1")
    sets = [part for option in options for part in ("--set", option)]
    result = invoke("train", fold_recipe_file, *sets, "--fold", "1", "--output", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    fold = Run(tmp_path / "run" / "fold-1")
    assert fold.recipe().pseudo is not None
    assert meta(fold.folder)["builds_on"]["pseudo.from_run"]["run"] == str(folded / "fold-1")
    own = meta(folded / "fold-1")["data"]["train"]["examples"]
    counts = {name: part["examples"] for name, part in meta(fold.folder)["data"].items()}
    assert (counts["train"], counts["pseudo"]) == (own, 8)
    split = read_split(fold.recipe(), load_registry(), "train")
    assert split is not None
    assert not any(example.id.startswith(PREFIX) for example in split.examples)

    result = invoke("train", fold_recipe_file, *sets, "--set", "pseudo.min_confidence=1", "--output", tmp_path / "none")
    assert isinstance(result.exception, UsageError)
    assert "lower pseudo.min_confidence" in str(result.exception)


def test_a_file_that_the_run_has_not_answered_is_answered_once_and_kept(
    fold_recipe_file: Path, whole: Path, invoke: Any, tmp_path: Path
) -> None:
    labeller = tmp_path / "labeller"
    shutil.copytree(whole, labeller)
    shutil.copy(fold_recipe_file.parent / "test.json", tmp_path / "more.json")
    (tmp_path / "more.json").write_text((tmp_path / "more.json").read_text("utf-8") + "\n", "utf-8")
    option = f"pseudo={{from_run: {labeller}, file: {tmp_path / 'more.json'}, min_confidence: 0}}"
    options = ("--set", "folds=null", "--set", "train.max_steps=1", "--set", option, "--quiet")
    assert invoke("train", fold_recipe_file, *options, "--output", tmp_path / "one").exit_code == 0
    (kept,) = (labeller / "predictions").glob("pseudo-*/nbest.jsonl")
    shutil.rmtree(labeller / "model")  # not needed any more
    assert invoke("train", fold_recipe_file, *options, "--output", tmp_path / "two").exit_code == 0
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("one", "two")]
    assert logs[0] == logs[1]
    assert kept.is_file()


def test_hard_negatives_are_out_of_fold_for_a_run_and_in_fold_for_a_fold(
    fold_recipe_file: Path, folded: Path, invoke: Any, tmp_path: Path
) -> None:
    option = f"preprocess.train={{name: stride, overlap: 4, negatives: 1, hard_negatives: {{from_run: {folded}}}}}"
    options = ("--set", option, "--set", "train.max_steps=1", "--set", "windows.max_length=40")
    result = invoke("train", fold_recipe_file, "--set", "folds=null", *options, "--output", tmp_path / "all", "--quiet")
    assert result.exit_code == 0, result.output
    fold = (*options, "--fold", "3", "--output", tmp_path / "run", "--json")
    result = invoke("train", fold_recipe_file, *fold)
    assert f"`qakit predict {folded / 'fold-3'} --split train`" in str(result.exception)
    assert invoke("predict", folded / "fold-3", "--split", "train").exit_code == 0
    result = invoke("train", fold_recipe_file, *fold)
    assert result.exit_code == 0, result.output


def test_an_unfinished_fold_is_nothing_to_begin_with(
    fold_recipe_file: Path, folded: Path, invoke: Any, tmp_path: Path
) -> None:
    shutil.copytree(folded, tmp_path / "first", ignore=shutil.ignore_patterns("fold-3"))
    edge = ("--set", f"backbone.from_run={tmp_path / 'first'}", "--output", tmp_path / "run")
    result = invoke("train", fold_recipe_file, *edge)
    assert isinstance(result.exception, RunError)
    assert "has not trained its fold 3 yet" in str(result.exception)


def test_pipelines_have_no_folds(fold_recipe_file: Path, invoke: Any, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"stages: {{selection: {fold_recipe_file}, span: {fold_recipe_file}}}\n", "utf-8")
    result = invoke("train", path, "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert "has folds" in str(result.exception)
