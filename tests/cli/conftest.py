"""A small recipe, and one trained run for the commands that need one."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Invoke
from sample_questions import write_first_questions


@pytest.fixture(scope="session")
def small_data(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few questions of the sample: train.json (48), dev.json (12), test.json (8)."""
    folder = tmp_path_factory.mktemp("small-data")
    write_first_questions(samples, folder, train=48, dev=12, test=8)
    return folder


@pytest.fixture(scope="session")
def small_recipe(small_data: Path, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that trains in seconds: two layers, 48 questions, short windows."""
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(
        f"""\
data:
  reader: squad
  train: {small_data}/train.json
  validation: {small_data}/dev.json
  test: {small_data}/test.json
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 128, max_question_length: 32}}
preprocess:
  train: random_window
  predict: {{name: stride, overlap: 32}}
train:
  epochs: 1
  batch_size: 8
  learning_rate: 1e-3
  precision: fp32
  log_every: 2
  checkpoint_every: 2
  evaluate_before: true
metric: squad_v1
writer: {{name: csv, id_column: id, answer_column: answer}}
""",
        "utf-8",
    )
    return path


@pytest.fixture(scope="session")
def small_run(small_recipe: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small recipe."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    result = invoke("train", small_recipe, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    return folder
