"""``qakit train`` of a recipe with folds, as a user does it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qakit.errors import UsageError
from qakit.inference.characters import CHARACTERS_FILE, CharacterScores
from qakit.inference.nbest_file import read_nbest
from qakit.outputs import new_path

pytestmark = pytest.mark.slow


def ids_of(path: Path) -> list[str]:
    document = json.loads(path.read_text("utf-8"))
    return [q["id"] for article in document["data"] for paragraph in article["paragraphs"] for q in paragraph["qas"]]


def test_every_training_example_is_answered_once_by_a_model_that_did_not_see_it(
    folded: Path, fold_recipe_file: Path
) -> None:
    train = ids_of(fold_recipe_file.parent / "train.json")
    kept = read_nbest(folded / "predictions" / "validation" / "nbest.jsonl")
    assert [each.id for each in kept] == train
    scores = CharacterScores.read(folded / "predictions" / "validation" / CHARACTERS_FILE)
    assert list(scores.ids) == train
    own: list[str] = []
    for fold in (1, 2, 3):
        place = folded / f"fold-{fold}" / "predictions" / "validation"
        answered = {each.id: each for each in read_nbest(place / "nbest.jsonl")}
        assert len({id_.split("-")[0] for id_ in answered} & {id_.split("-")[0] for id_ in own}) == 0
        own += answered
        assert all(each == answered[each.id] for each in kept if each.id in answered)
        part = CharacterScores.read(place / CHARACTERS_FILE)
        for row, id_ in enumerate(part.ids):
            assert part.of(row, 0)[0].tolist() == scores.of(train.index(id_), 0)[0].tolist()
            assert part.no_answer[row].tolist() == scores.no_answer[train.index(id_)].tolist()
    assert sorted(own) == sorted(train)


def test_one_score_with_its_spread(folded: Path) -> None:
    metrics = json.loads((folded / "metrics.json").read_text("utf-8"))
    rows = metrics["folds"]["folds"]
    values = [row["figures"]["f1"] for row in rows]
    mean = sum(values) / 3
    assert metrics["folds"]["mean"]["f1"] == pytest.approx(mean)
    assert metrics["folds"]["sd"]["f1"] == pytest.approx((sum((each - mean) ** 2 for each in values) / 2) ** 0.5)
    share = sum(row["figures"]["f1"] * row["examples"] for row in rows) / sum(row["examples"] for row in rows)
    assert metrics["validation"]["f1"] == pytest.approx(share)
    for row in rows:
        own = json.loads((folded / f"fold-{row['fold']}" / "metrics.json").read_text("utf-8"))
        assert own["validation"]["f1"] == pytest.approx(row["figures"]["f1"])
    assert (folded / "folds.png").is_file()


def test_the_test_file_is_answered_by_all_models(folded: Path, fold_recipe_file: Path) -> None:
    lines = (folded / "predictions" / "submission.csv").read_text("utf-8").splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ids_of(fold_recipe_file.parent / "test.json")
    with_model = [fold for fold in (1, 2, 3) if (folded / f"fold-{fold}" / "predictions" / "nbest.jsonl").is_file()]
    assert with_model == [1, 2, 3]
    mean, *parts = (
        CharacterScores.read(place / "predictions" / CHARACTERS_FILE)
        for place in (folded, *(folded / f"fold-{fold}" for fold in with_model))
    )
    expected = np.mean([np.exp(part.start.astype(np.float64)) for part in parts], axis=0)
    assert np.exp(mean.start.astype(np.float64)) == pytest.approx(expected, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("method", ["voting", "char_average"])
def test_a_file_that_comes_later_is_answered_by_all_models(
    fold_recipe_file: Path, folded: Path, invoke: Any, tmp_path: Path, method: str
) -> None:
    copy, answers = tmp_path / "copy", tmp_path / "answers.csv"
    shutil.copytree(folded, copy)
    for place in (copy, *(copy / f"fold-{fold}" for fold in (1, 2, 3))):
        recipe = (place / "recipe.yaml").read_text("utf-8")
        (place / "recipe.yaml").write_text(re.sub(r"name: voting\n(    .*\n)*", f"name: {method}\n", recipe), "utf-8")
    (copy / "metrics.json").unlink()
    result = invoke("train", "--resume", "--output", copy, "--quiet")  # joins the folds anew
    assert result.exit_code == 0, result.output
    command = ("predict", copy, "--input", fold_recipe_file.parent / "test.json", "--output", answers)
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    assert answers.read_bytes() == (copy / "predictions" / "submission.csv").read_bytes()
    result = invoke("predict", copy, "--split", "test")
    assert result.exit_code == 0, result.output
    for name in ("nbest.jsonl", CHARACTERS_FILE):
        assert (copy / "predictions" / "test" / name).read_bytes() == (copy / "predictions" / name).read_bytes()
    shutil.rmtree(copy / "fold-2")
    result = invoke(*command)
    assert result.exit_code == 2
    assert "fold 2 is not trained yet" in str(result.exception)


def test_going_on_repeats_nothing_and_makes_what_is_missing(folded: Path, invoke: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folded, copy)
    before = (copy / "predictions" / "validation" / "nbest.jsonl").read_bytes()
    for gone in ("metrics.json", "fold-2/metrics.json", "fold-3"):
        place = copy / gone
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
    kept = {file: file.stat().st_mtime_ns for file in (copy / "fold-1").rglob("*") if file.name != ".lock"}
    result = invoke("train", "--resume", "--output", copy, "--fold", "3", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["missing"] == [2]
    result = invoke("train", "--resume", "--output", copy, "--json")
    assert result.exit_code == 0, result.output
    assert {file: file.stat().st_mtime_ns for file in (copy / "fold-1").rglob("*") if file.name != ".lock"} == kept
    assert (copy / "predictions" / "validation" / "nbest.jsonl").read_bytes() == before
    now, then = (json.loads((folder / "metrics.json").read_text("utf-8")) for folder in (copy, folded))
    assert {**now, "run": "", "seconds": 0} == {**then, "run": "", "seconds": 0}

    meta = copy / "fold-2" / "meta.json"  # as if it came from a machine with another training file
    of_other_files = json.loads(meta.read_text("utf-8"))
    of_other_files["data"]["train"]["files"] = dict.fromkeys(of_other_files["data"]["train"]["files"], "0" * 64)
    meta.write_text(json.dumps(of_other_files), "utf-8")
    (copy / "metrics.json").unlink()
    result = invoke("train", "--resume", "--output", copy)
    assert result.exit_code == 2
    assert "fold-2: was trained on other files than the other folds: delete it and resume" in str(result.exception)


def test_other_machines_train_other_folds_in_the_same_folder(
    fold_recipe_file: Path, folded: Path, invoke: Any, tmp_path: Path
) -> None:
    quick = ("--set", "train.max_steps=1", "--output", tmp_path / "shared", "--json")
    assert json.loads(invoke("train", fold_recipe_file, "--fold", "2", *quick).stdout)["missing"] == [1, 3]
    assert json.loads(invoke("train", fold_recipe_file, "--fold", "1", *quick).stdout)["missing"] == [3]
    result = invoke("train", fold_recipe_file, "--fold", "3", *quick)
    assert json.loads(result.stdout)["folds"]["k"] == 3
    result = invoke("train", fold_recipe_file, "--fold", "3", "--output", tmp_path / "shared")
    assert result.exit_code == 2
    assert "fold-1 was begun with train.max_steps: 1, but the recipe now says train.max_steps: null" in str(
        result.exception
    )


def test_folds_that_were_trained_as_runs_of_their_own_are_joined(
    fold_recipe_file: Path, invoke: Any, tmp_path: Path
) -> None:
    run = tmp_path / "RUN"
    quick = ("--set", "train.max_steps=1", "--quiet")
    result = invoke("train", fold_recipe_file, *quick, "--set", "folds.fold=2", "--output", run / "fold-2")
    assert result.exit_code == 0, result.output
    (run / ".lock").touch()
    kept = {file: file.stat().st_mtime_ns for file in (run / "fold-2").rglob("*") if file.name != ".lock"}
    result = invoke("train", "--resume", "--output", run)
    assert result.exit_code == 2
    assert "RUN is not a run" in str(result.exception)
    result = invoke("train", fold_recipe_file, "--set", "train.max_steps=2", "--output", run)
    assert result.exit_code == 2
    assert "fold-2 was begun with train.max_steps: 1, but the recipe now says train.max_steps: 2" in str(
        result.exception
    )
    (run / "notes.txt").touch()
    result = invoke("train", fold_recipe_file, *quick, "--output", run)
    assert result.exit_code == 2
    assert "is not empty" in str(result.exception)
    (run / "notes.txt").unlink()
    assert not (run / "folds.json").exists()
    result = invoke("train", fold_recipe_file, *quick, "--output", run, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["folds"]["k"] == 3
    assert {file: file.stat().st_mtime_ns for file in (run / "fold-2").rglob("*") if file.name != ".lock"} == kept
    shutil.rmtree(run / "fold-3")
    result = invoke("train", "--resume", "--output", run, "--json")
    assert result.exit_code == 0, result.output


def test_a_fold_is_a_run_for_every_command(folded: Path, invoke: Any, tmp_path: Path) -> None:
    nbest = tmp_path / "nbest.jsonl"
    result = invoke("predict", folded / "fold-1", "--split", "validation", "--nbest", nbest)
    assert result.exit_code == 0, result.output
    kept = read_nbest(folded / "fold-1" / "predictions" / "validation" / "nbest.jsonl")
    assert [(each.id, each.final) for each in read_nbest(nbest)] == [(each.id, each.final) for each in kept]
    result = invoke("ensemble", folded / "fold-1", folded / "fold-2", "--json")
    assert result.exit_code == 0, result.output
    result = invoke("runs", "show", folded)
    assert result.exit_code == 0, result.output


def test_folds_of_two_recipes_are_compared_and_combined_on_all_questions(
    fold_recipe_file: Path, folded: Path, invoke: Any, tmp_path: Path
) -> None:
    other = ("--set", "seed=1", "--set", "train.max_steps=1", "--output", tmp_path / "other", "--quiet")
    assert invoke("train", fold_recipe_file, *other).exit_code == 0
    result = invoke("compare", folded, tmp_path / "other", "--json", "--resamples", "100")
    assert result.exit_code == 0, result.output
    members = (folded, tmp_path / "other")
    result = invoke("ensemble", *members, "--method", "char_average", "--learn-weights", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["validation"]["questions"] == 26
    assert found["rows"] == 8


def test_a_dry_run_shows_the_folds(fold_recipe_file: Path, invoke: Any, tmp_path: Path) -> None:
    result = invoke("train", fold_recipe_file, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    folds = json.loads(result.stdout)["folds"]
    assert [size["fold"] for size in folds] == [1, 2, 3]
    assert sum(size["groups"] for size in folds) == 7
    result = invoke("train", fold_recipe_file, "--fold", "4", "--output", tmp_path / "none")
    assert result.exit_code == 2
    assert not (tmp_path / "none").exists()


def test_no_file_of_it_is_an_output_of_another_command(folded: Path) -> None:
    files = [path for path in folded.rglob("*") if path.is_file()]
    assert len(files) > 30
    for file in files:
        with pytest.raises(UsageError, match="a part of the"):
            new_path(file)
