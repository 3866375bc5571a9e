"""Students of models with folds: what they learn, and what is refused before they begin."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qakit.inference.characters import CHARACTERS_FILE, CharacterScores
from qakit.recipe.load import load_recipe
from qakit.registry import load_registry
from qakit.training.events import silence
from qakit.training.prepare import prepare_training

Invoke = Any
REGISTRY = load_registry()


@pytest.fixture(scope="module")
def student(fold_recipe_file: Path, folded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that learns from the folds, judged on an article that they have not seen."""
    folder = tmp_path_factory.mktemp("student")
    context = "The lamp of the lighthouse is called beacon."
    answer = {"text": "beacon", "answer_start": context.index("beacon")}
    asked = [{"id": f"dev-{n}", "question": f"How is lamp {n} called?", "answers": [answer]} for n in range(4)]
    document = {"version": "1.1", "data": [{"title": "light", "paragraphs": [{"context": context, "qas": asked}]}]}
    (folder / "dev.json").write_text(json.dumps(document), "utf-8")
    text = fold_recipe_file.read_text("utf-8").replace("folds: {k: 3}\n", f"distill: {{from_run: {folded}}}\n")
    text = text.replace("train: train.json", f"train: {fold_recipe_file.parent / 'train.json'}, validation: dev.json")
    text = text.replace("test: test.json", f"test: {fold_recipe_file.parent / 'test.json'}")
    path = folder / "student.yaml"
    path.write_text(text, "utf-8")
    return path


def test_a_student_trains_and_its_run_names_its_teachers(student: Path, folded: Path, invoke: Invoke) -> None:
    plain, taught = student.parent / "plain", student.parent / "taught"
    for output, options in ((taught, ()), (plain, ("--set", "distill=null"))):
        result = invoke("train", student, *options, "--output", output, "--quiet")
        assert result.exit_code == 0, result.output
    meta = json.loads((taught / "meta.json").read_text("utf-8"))
    assert meta["builds_on"]["distill.from_run"]["run"] == str(folded)
    losses = [json.loads((run / "metrics.jsonl").read_text("utf-8").splitlines()[0])["loss"] for run in (plain, taught)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("windows", ["96", "40"])
def test_the_targets_of_a_window_are_the_teachers_characters_in_it(student: Path, folded: Path, windows: str) -> None:
    changes = [f"windows.max_length={windows}", "windows.max_question_length=16", "preprocess.train.overlap=4"]
    recipe = load_recipe(student, changes, registry=REGISTRY).recipe
    prepared = prepare_training(recipe, REGISTRY, device=torch.device("cpu"), listener=silence)
    scores = CharacterScores.read(folded / "predictions" / "validation" / CHARACTERS_FILE)
    row = {id_: number for number, id_ in enumerate(scores.ids)}
    epoch, encoded = prepared.plan.first, prepared.feed.encoded
    examples = prepared.train_split.examples
    batch = epoch.batch(np.arange(len(epoch.windows)))
    assert batch.soft_targets is not None
    soft = batch.soft_targets.numpy()
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-3)
    for number in range(len(batch)):
        start, end = scores.of(row[examples[int(batch.example[number])].id], 0)
        inside = np.flatnonzero(batch.context_mask[number].numpy())
        for position in inside:
            first, stop = encoded.store.offsets[batch.token[number, position]]
            assert soft[number, position, 0] == pytest.approx(np.exp(start[first:stop], dtype=float).sum(), abs=1e-3)
            assert soft[number, position, 1] == pytest.approx(np.exp(end[first:stop], dtype=float).sum(), abs=1e-3)
        assert (np.delete(soft[number], [0, *inside], axis=0) == 0).all()


def test_what_cannot_teach_is_refused_in_one_line(
    student: Path, fold_recipe_file: Path, folded: Path, whole: Path, invoke: Invoke, tmp_path: Path
) -> None:
    train = fold_recipe_file.parent / "train.json"
    silent = tmp_path / "silent"
    shutil.copytree(folded, silent)
    (silent / "predictions" / "validation" / CHARACTERS_FILE).unlink()
    cases = {
        ("--set", f"distill.from_run={whole}"): "has no out-of-fold answers",
        ("--set", f"distill.from_run={silent}"): "keeps no character scores",
        ("--set", f"distill.from_run={tmp_path / 'nowhere'}"): "nowhere",
        ("--set", "folds={k: 3}"): "distill and folds do not go together",
        ("--set", f"data.train={student.parent / 'dev.json'}"): "has no answer to 4 of the 4 training examples",
        ("--set", f"data.validation={train}"): None,
    }
    for options, said in cases.items():
        output = tmp_path / "refused"
        result = invoke("train", student, *options, "--output", output, "--quiet")
        if said is None:  # questions that the student itself trains on are warned of, not refused
            assert result.exit_code == 0, result.output
            continue
        assert result.exit_code == 2, result.output
        assert said in str(result.exception), result.exception
        assert not output.exists()


def test_other_questions_of_the_same_ids_are_warned_of(
    student: Path, fold_recipe_file: Path, invoke: Invoke, tmp_path: Path
) -> None:
    document = json.loads((fold_recipe_file.parent / "train.json").read_text("utf-8"))
    question = document["data"][0]["paragraphs"][0]["qas"][0]
    question["question"] = f"  {question['question'].upper()}"  # the same words
    changed = tmp_path / "train.json"
    changed.write_text(json.dumps(document), "utf-8")
    options = ["--set", f"data.train={changed}", "--quiet"]
    result = invoke("train", student, *options, "--output", tmp_path / "same")
    assert result.exit_code == 0 and "have other words" not in result.output
    question["question"] = "Which bell was cast last?"
    changed.write_text(json.dumps(document), "utf-8")
    result = invoke("train", student, *options, "--output", tmp_path / "other")
    assert result.exit_code == 0
    said = " ".join(result.output.split())
    assert "distill.from_run: 1 of the" in said and f"(id {question['id']}): its answers are to those" in said


def test_ids_that_have_moved_to_other_questions_are_refused(
    student: Path, folded: Path, fold_recipe_file: Path, invoke: Invoke, tmp_path: Path
) -> None:
    """As row numbers do where a file was put into another order: each answer would be learnt at another question."""
    document = json.loads((fold_recipe_file.parent / "train.json").read_text("utf-8"))
    one, other = document["data"][0]["paragraphs"][0]["qas"][:2]
    one["id"], other["id"] = other["id"], one["id"]
    changed = tmp_path / "train.json"
    changed.write_text(json.dumps(document), "utf-8")
    result = invoke("train", student, "--set", f"data.train={changed}", "--dry-run")
    assert result.exit_code == 2, result.output
    said = str(result.exception)
    assert "2 of the" in said and "have the ids that other examples have" in said and f"(id {one['id']})" in said
    alone = tmp_path / "alone"  # nobody knows what its ids were
    shutil.copytree(folded, alone)
    recipe = alone / "recipe.yaml"
    recipe.write_text(recipe.read_text("utf-8").replace("train.json", "gone.json"), "utf-8")
    options = ["--set", f"data.train={changed}", "--set", f"distill.from_run={alone}"]
    result = invoke("train", student, *options, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "are not where they were, or have changed" in " ".join(result.output.split())


def test_teachers_that_have_seen_the_validation_questions_are_refused(
    student: Path, fold_recipe_file: Path, invoke: Invoke
) -> None:
    """The student trains on a part of what its teachers were trained on, and is judged on another."""
    document = json.loads((fold_recipe_file.parent / "train.json").read_text("utf-8"))
    for name, articles in (("own", document["data"][:4]), ("rest", document["data"][4:])):
        (student.parent / f"{name}.json").write_text(json.dumps({**document, "data": articles}), "utf-8")
    options = [f"data.train={student.parent / 'own.json'}", f"data.validation={student.parent / 'rest.json'}"]
    result = invoke("train", student, *(part for each in options for part in ("--set", each)), "--dry-run")
    assert result.exit_code == 2, result.output
    assert "distill.from_run" in str(result.exception)
    assert "12 of the 12 validation questions" in str(result.exception)


def test_classes_are_taught_by_the_mean_of_an_ensembles_folds(
    tiny_backbone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    rows = [f"r{n},the gate {n} of part {n},{'ab'[n % 2]}" for n in range(12)]
    (tmp_path / "train.csv").write_text("\n".join(["id,t,y", *rows]) + "\n", "utf-8")
    (tmp_path / "dev.csv").write_text("id,t,y\nx,the gate,a\ny,the tower,b\n", "utf-8")
    recipe = tmp_path / "classes.yaml"
    recipe.write_text(
        f"""\
data: {{reader: {{name: table, id: id, text_a: t, label: y}}, train: train.csv, validation: dev.csv}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 48, max_question_length: 40}}
head: classifier
metric: accuracy
preprocess: {{train: truncate, predict: truncate}}
train: {{max_steps: 1, precision: fp32}}
""",
        "utf-8",
    )
    teachers = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(teachers):
        options = ("--set", "folds={k: 2, group_by: none}", "--set", f"seed={seed}", "--output", folder, "--quiet")
        assert invoke("train", recipe, *options).exit_code == 0
    both = tmp_path / "both"
    assert invoke("ensemble", *teachers, "--method", "mean", "--folder", both).exit_code == 0
    changed = load_recipe(recipe, [f"distill.from_run={both}"], registry=REGISTRY).recipe
    prepared = prepare_training(changed, REGISTRY, device=torch.device("cpu"), listener=silence)
    batch = prepared.plan.first.batch(np.arange(12))
    assert batch.soft_targets is not None
    expected = np.zeros((12, 2))
    for folder in teachers:
        lines = (folder / "predictions" / "validation" / "nbest.jsonl").read_text("utf-8").splitlines()
        scores = {each["id"]: each["scores"] for each in map(json.loads, lines)}
        expected += [np.array(scores[f"r{n}"]) / 2 for n in batch.example.tolist()]
    np.testing.assert_allclose(batch.soft_targets.numpy(), expected, atol=1e-6)

    turned = load_recipe(recipe, [f"distill.from_run={both}", "data.labels=[b, a]"], registry=REGISTRY).recipe
    prepared = prepare_training(turned, REGISTRY, device=torch.device("cpu"), listener=silence)
    soft = prepared.plan.first.batch(np.arange(12)).soft_targets
    assert soft is not None
    np.testing.assert_allclose(soft.numpy()[:, ::-1], expected, atol=1e-6)
