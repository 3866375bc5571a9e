"""A folder of folds answers as one model, alone and as a member of ensembles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import qakit
from qakit.inference.characters import CHARACTERS_FILE, CharacterScores

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def labelled(fold_recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few questions, with their answers, in a file of their own."""
    document = json.loads((fold_recipe_file.parent / "train.json").read_text("utf-8"))
    file = tmp_path_factory.mktemp("labelled") / "some.json"
    file.write_text(json.dumps(document | {"data": document["data"][:2]}), "utf-8")
    return file


def test_it_is_asked_and_judged(folded: Path, labelled: Path, invoke: Any) -> None:
    report = json.loads(invoke("evaluate", folded, "--input", labelled, "--json").stdout)
    assert set(report["figures"]) == {"exact_match", "f1"}
    found = qakit.evaluate(folded, labelled, set={"predict.max_answer_length": 1})
    assert all(len(each.final.split()) <= 1 for each in found.predictions)
    reply = qakit.load(folded).answer("Which gate?", "The gate of stone is called abbey0.", top_k=3)
    assert reply.candidates[0].text == reply.answer
    assert len(reply.candidates) == 3


def test_its_own_questions_are_judged_out_of_fold_alone(folded: Path, invoke: Any) -> None:
    result = invoke("evaluate", folded)
    assert result.exit_code == 2
    assert f"figures out of fold are in {folded / 'metrics.json'}; name other questions" in str(result.exception)
    result = invoke("predict", folded, "--split", "validation")
    assert result.exit_code == 2
    assert "has answered its validation questions out of fold" in str(result.exception)


def test_character_scores_are_the_mean_of_the_models(
    folded: Path, fold_recipe_file: Path, invoke: Any, tmp_path: Path
) -> None:
    test, scores = fold_recipe_file.parent / "test.json", tmp_path / "scores"
    options = ("--output", tmp_path / "answers.csv", "--character-scores", scores)
    assert invoke("predict", folded, "--input", test, *options).exit_code == 0
    assert scores.read_bytes() == (folded / "predictions" / CHARACTERS_FILE).read_bytes()
    assert len(CharacterScores.read(scores)) == 8


@pytest.mark.parametrize("method", ["voting", "char_average"])
def test_an_ensemble_of_folds(
    method: str, folded: Path, fold_recipe_file: Path, labelled: Path, invoke: Any, tmp_path: Path
) -> None:
    other, whole, answers = tmp_path / "other", tmp_path / "whole", tmp_path / "answers.csv"
    shutil.copytree(folded, other)
    for number in (1, 2, 3):  # other models under the same recipe
        shutil.rmtree(other / f"fold-{number}" / "model")
        shutil.copytree(folded / f"fold-{number % 3 + 1}" / "model", other / f"fold-{number}" / "model")
    made = invoke("ensemble", folded, other, "--method", method, "--weights", "2,1", "--folder", whole, "--quiet")
    assert made.exit_code == 0, made.output + str(made.exception)
    test = fold_recipe_file.parent / "test.json"
    result = invoke("predict", whole, "--input", test, "--output", answers)
    assert result.exit_code == 0, result.output + str(result.exception)
    assert "member 2 of 2" in result.stderr and "member 3 of 3" in result.stderr
    assert answers.read_bytes() == (whole / "predictions" / "submission.csv").read_bytes()
    assert json.loads(invoke("evaluate", whole, "--input", labelled, "--json").stdout)["questions"] > 0
    assert "models were trained on these questions" in str(invoke("evaluate", whole).exception)
    assert invoke("ask", whole, "Which gate?", "-c", "The gate is called abbey0.").exit_code == 0
    compared = invoke("compare", folded, whole, "--json", "--resamples", "100")
    assert compared.exit_code == 0, compared.output + str(compared.exception)


def test_it_is_exported_as_a_folder_with_a_script(
    folded: Path, fold_recipe_file: Path, invoke: Any, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.csv"
    result = invoke("export", folded, "--merge", "--output", tmp_path / "merged")
    assert f"export its members ({folded / 'fold-1'}, " in str(result.exception)
    result = invoke("export", folded, "--offline", "--output", tmp_path / "exported")
    assert result.exit_code == 0, result.output + str(result.exception)
    run = tmp_path / "exported" / "run"
    result = invoke("predict", run, "--input", fold_recipe_file.parent / "test.json", "--output", answers)
    assert result.exit_code == 0, result.output + str(result.exception)
    assert answers.read_bytes() == (folded / "predictions" / "submission.csv").read_bytes()
    assert str(fold_recipe_file.parent) not in (run / "folds.json").read_text("utf-8")


def test_folds_of_which_one_is_not_trained_neither_answer_nor_are_exported(
    folded: Path, fold_recipe_file: Path, invoke: Any, tmp_path: Path
) -> None:
    """In the export it would count as trained."""
    run = tmp_path / "run"
    shutil.copytree(folded, run)
    (run / "fold-2" / "metrics.json").unlink()
    result = invoke("export", run, "--offline", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert f"{run / 'fold-2'} is not trained yet" in str(result.exception)
    assert not (tmp_path / "out").exists()
    result = invoke("predict", run, "--input", fold_recipe_file.parent / "test.json", "--output", tmp_path / "a.csv")
    assert "fold 2 is not trained yet" in str(result.exception)
    assert "warning" not in result.stderr
