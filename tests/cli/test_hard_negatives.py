"""A second run that learns from the first one's mistakes on the training file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from qakit.errors import DataError, RecipeError

pytestmark = pytest.mark.slow

NEGATIVES = "preprocess: {train: {name: stride, overlap: 48, negatives: 1, hard_negatives: {from_run: first}}}\n"


@pytest.fixture
def second(small_recipe: Path, small_run: Path, tmp_path: Path) -> Path:
    """A recipe beside a copy of the first run, which it names by a relative path."""
    shutil.copytree(small_run, tmp_path / "first")
    recipe = tmp_path / "second.yaml"
    shorter = "windows: {max_length: 96, max_question_length: 24}\n"  # so that some windows lack the answer
    recipe.write_text(f"extends: {small_recipe}\ntrain: {{max_steps: 2}}\n{shorter}{NEGATIVES}", "utf-8")
    return recipe


def test_a_run_is_trained_on_another_ones_mistakes(second: Path, invoke: Any, tmp_path: Path) -> None:
    result = invoke("train", second, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 2
    assert isinstance(result.exception, DataError)
    assert f"`qakit predict {tmp_path / 'first'} --split train`" in str(result.exception)
    assert not (tmp_path / "run").exists()

    assert invoke("predict", tmp_path / "first", "--split", "train").exit_code == 0
    result = invoke("train", second, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    uniform = ("--set", "preprocess.train.hard_negatives=null")
    result = invoke("train", second, "--output", tmp_path / "uniform", "--quiet", *uniform)
    assert result.exit_code == 0, result.output
    metas = [json.loads((tmp_path / name / "meta.json").read_text("utf-8")) for name in ("run", "uniform")]
    assert metas[0]["windows"] == metas[1]["windows"] > 48
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("run", "uniform")]
    assert logs[0] != logs[1]

    shutil.rmtree(tmp_path / "first")  # a finished run needs it no longer
    assert invoke("predict", tmp_path / "run", "--split", "validation").exit_code == 0


def test_ids_that_have_moved_to_other_questions_are_refused(
    second: Path, small_data: Path, invoke: Any, tmp_path: Path
) -> None:
    """As row numbers do where a file was put into another order: mistakes would be looked for at other questions."""
    assert invoke("predict", tmp_path / "first", "--split", "train").exit_code == 0
    document = json.loads((small_data / "train.json").read_text("utf-8"))
    one, other = document["data"][0]["paragraphs"][0]["qas"][:2]
    one["id"], other["id"] = other["id"], one["id"]
    changed = tmp_path / "train.json"
    changed.write_text(json.dumps(document), "utf-8")
    result = invoke("train", second, "--set", f"data.train={changed}", "--dry-run")
    assert result.exit_code == 2, result.output
    assert "2 of the 48 training examples have the ids that other examples have" in str(result.exception)
    assert f"(id {one['id']}), so its mistakes would be looked for in the wrong ones" in str(result.exception)


def test_a_run_that_is_not_there_is_a_problem_of_the_recipe(second: Path, invoke: Any, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "first")
    result = invoke("train", second, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 2
    assert isinstance(result.exception, RecipeError)
    assert f"hard_negatives.from_run: file not found: {tmp_path / 'first'}" in str(result.exception)
    assert invoke("recipes", "validate", second).exit_code == 0  # it may be trained later
