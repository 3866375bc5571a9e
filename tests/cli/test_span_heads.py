"""Training with the options of span heads, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from qakit.errors import RecipeError

pytestmark = pytest.mark.slow

JOINT = (
    "head={name: joint_span, layer_pooling: all, interaction: 4, dropout: 0.1, multi_sample_dropout: 2, "
    "label_smoothing: 0.05, soft_labels: jaccard, in_answer_weight: 0.2, answerability_weight: 0.2}"
)


@pytest.fixture(scope="module")
def joint_run(small_recipe: Path, invoke: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "joint"
    settings = ("--set", JOINT, "--set", "train.head_learning_rate=0.05", "--set", "predict.no_answer=true")
    result = invoke("train", small_recipe, *settings, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    return folder


def test_every_part_of_the_head_is_trained_and_saved(joint_run: Path) -> None:
    weights = load_file(joint_run / "model" / "model.safetensors")
    head = {name.removeprefix("head.features."): value for name, value in weights.items() if name.startswith("head.")}
    assert {name: tuple(value.shape) for name, value in head.items()} == {
        "layer_weights": (3,),
        "linear.weight": (10, 32),
        "linear.bias": (10,),
        "in_answer.weight": (1, 32),
        "in_answer.bias": (1,),
        "answerability.weight": (1, 32),
        "answerability.bias": (1,),
    }
    assert all(torch.isfinite(value).all() and value.abs().max() > 0 for value in head.values())


def test_the_saved_model_predicts_what_training_predicted(
    joint_run: Path, small_data: Path, invoke: Any, tmp_path: Path
) -> None:
    output = tmp_path / "answers.csv"
    result = invoke("predict", joint_run, "--input", small_data / "test.json", "--output", output, "--json")
    assert result.exit_code == 0, result.output
    assert output.read_bytes() == (joint_run / "predictions" / "submission.csv").read_bytes()
    result = invoke("evaluate", joint_run, "--input", small_data / "dev.json", "--json")
    figures = json.loads(result.stdout)["figures"]
    assert figures == pytest.approx(json.loads((joint_run / "metrics.json").read_text())["validation"])


def test_settings_that_do_not_go_together_are_a_recipe_error(small_recipe: Path, invoke: Any, tmp_path: Path) -> None:
    settings = ("--set", "head={name: linear_span, multi_sample_dropout: 4}", "--output", tmp_path / "run")
    result = invoke("train", small_recipe, *settings)
    assert result.exit_code == 2
    assert isinstance(result.exception, RecipeError)
    assert "multi_sample_dropout needs dropout above 0" in str(result.exception)
    assert not (tmp_path / "run").exists()
