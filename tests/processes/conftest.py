"""A small recipe, and processes that run commands on it together."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crew import Crew, Ended
from pipeline.conftest import adl_data, pipeline_recipe  # noqa: F401 - fixtures
from sample_questions import write_first_questions

QUESTIONS = {"train": 25, "dev": 9, "test": 7}
"""With batches of 8 the last one is a single window: fewer than the processes."""


@pytest.fixture(scope="session")
def data(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.json, dev.json and test.json with the first questions of the sample."""
    folder = tmp_path_factory.mktemp("data")
    write_first_questions(samples, folder, **QUESTIONS)
    return folder


@pytest.fixture(scope="session")
def recipe(data: Path, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random windows, dropout, a moving average. ``$TRAIN_FOLDER`` can put a process's training file elsewhere."""
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(
        f"""\
data:
  reader: squad
  train: ${{TRAIN_FOLDER:-{data}}}/train.json
  validation: {data}/dev.json
  test: {data}/test.json
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 128, max_question_length: 32}}
preprocess:
  train: random_window
  predict: {{name: stride, overlap: 32}}
train:
  epochs: 2
  batch_size: 8
  learning_rate: 1e-3
  epsilon: 0.01  # AdamW would blow up the rounding of gradients that are zero in exact arithmetic
  precision: fp32
  ema: {{decay: 0.9}}
  log_every: 2
  evaluate_every: 3
  checkpoint_every: 3
predict: {{batch_size: 4}}
metric: squad_v1
writer: {{name: csv, id_column: id, answer_column: answer}}
""",
        "utf-8",
    )
    return path


@pytest.fixture(scope="session")
def trained(crew: Crew, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A run of the recipe in two processes, never interrupted, with its checkpoints."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    ended = crew.run(2, "train", recipe, "--output", folder, environment={"KEEP_CHECKPOINTS": "yes"})
    assert ended.codes == [0, 0], ended.said
    return folder, ended


@pytest.fixture(scope="session")
def long() -> tuple[str, ...]:
    """Options for a training that can be stopped on its way."""
    return ("--set", "train.epochs=12", "--set", "train.evaluate_every=1000", "--set", "train.checkpoint_every=1000")


@pytest.fixture(scope="session")
def long_run(crew: Crew, recipe: Path, long: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a training in two processes, never interrupted."""
    run = tmp_path_factory.mktemp("long") / "run"
    ended = crew.run(2, "train", recipe, "--output", run, *long)
    assert ended.codes == [0, 0], ended.said
    return run
