"""A command line in this process, and one trained run for the commands that need one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from qakit.cli import build_app
from qakit.errors import QakitError

Invoke = Callable[..., Result]


@pytest.fixture(scope="session")
def small_data(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few questions of the sample: train.json (48), dev.json (12), test.json (8)."""
    folder = tmp_path_factory.mktemp("small-data")
    for name, limit in (("train", 48), ("dev", 12), ("test", 8)):
        document: dict[str, Any] = json.loads((samples / f"squad-{name}.json").read_text("utf-8"))
        left = limit
        articles = []
        for article in document["data"]:
            paragraphs = []
            for paragraph in article["paragraphs"]:
                questions = paragraph["qas"][:left]
                left -= len(questions)
                if questions:
                    paragraphs.append({**paragraph, "qas": questions})
            if paragraphs:
                articles.append({**article, "paragraphs": paragraphs})
        (folder / f"{name}.json").write_text(json.dumps({**document, "data": articles}), "utf-8")
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


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave the user's token cache alone."""
    import os

    os.environ["QAKIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def invoke() -> Invoke:
    """Run a command line; a QakitError becomes what ``main`` makes of it."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
        if isinstance(result.exception, QakitError):
            result.exit_code = result.exception.exit_code
        elif result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def small_run(small_recipe: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small recipe."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    result = invoke("train", small_recipe, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    return folder
