"""A recipe with folds over a handful of articles, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Invoke = Any


def article(name: str, paragraphs: int = 2, questions: int = 2) -> dict[str, Any]:
    """An article whose texts nothing else has; the answer is a number."""
    texts = []
    for part in range(paragraphs):
        context = f"The {name} of part {part} has {len(name)}{part} towers and a gate of stone called {name}{part}."
        qas = [
            {
                "id": f"{name}-{part}-{number}",
                "question": f"How is the gate {number} of {name} in part {part} called?",
                "answers": [{"text": f"{name}{part}", "answer_start": context.index(f"{name}{part}.")}],
            }
            for number in range(questions)
        ]
        texts.append({"context": context, "qas": qas})
    return {"title": name, "paragraphs": texts}


def write_squad(path: Path, articles: list[dict[str, Any]], *, answers: bool = True) -> Path:
    """A SQuAD file; without answers a test file."""
    document = json.loads(json.dumps({"version": "1.1", "data": articles}))
    if not answers:
        for each in document["data"]:
            for paragraph in each["paragraphs"]:
                for question in paragraph["qas"]:
                    del question["answers"]
    path.write_text(json.dumps(document), "utf-8")
    return path


@pytest.fixture(scope="session")
def fold_recipe_file(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folds over seven articles; trains in seconds."""
    folder = tmp_path_factory.mktemp("folds")
    names = ("abbey", "bridge", "castle", "dome", "estate", "fort", "granary")
    write_squad(folder / "train.json", [article(name, 1 + number % 3) for number, name in enumerate(names)])
    write_squad(folder / "test.json", [article("harbour"), article("inn")], answers=False)
    path = folder / "folded.yaml"
    path.write_text(
        f"""\
data: {{reader: squad, train: train.json, test: test.json}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 96, max_question_length: 32}}
preprocess: {{train: {{name: stride, overlap: 16}}, predict: {{name: stride, overlap: 16}}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-3, precision: fp32, log_every: 1}}
predict: {{character_scores: true}}
folds: {{k: 3}}
writer: {{name: csv, id_column: id, answer_column: answer}}
""",
        "utf-8",
    )
    return path


@pytest.fixture(scope="session")
def folded(fold_recipe_file: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folds of that recipe, trained."""
    folder = tmp_path_factory.mktemp("runs") / "folded"
    result = invoke("train", fold_recipe_file, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def whole(fold_recipe_file: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has seen all training examples."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    options = ("--set", "folds=null", "--set", "train.max_steps=1", "--output", folder, "--quiet")
    result = invoke("train", fold_recipe_file, *options)
    assert result.exit_code == 0, result.output
    return folder
