"""The small recipe of the command-line tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_questions import write_first_questions


@pytest.fixture(scope="session")
def small_recipe(samples: Path, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that trains in seconds: two layers, 24 questions, short windows."""
    folder = tmp_path_factory.mktemp("ladder-recipe")
    write_first_questions(samples, folder, train=24, dev=12)
    path = folder / "small.yaml"
    path.write_text(
        f"""\
data: {{reader: squad, train: train.json, validation: dev.json}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 128, max_question_length: 32}}
preprocess: {{train: random_window, predict: {{name: stride, overlap: 32}}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-3, precision: fp32}}
""",
        "utf-8",
    )
    return path
