"""A training of two seconds with everything a resume must keep: accumulation, a moving average, random windows."""

from __future__ import annotations

import json
import random
from pathlib import Path

WORDS = [f"w{number}" for number in range(60)]
ADAPTERS = {"full": "full", "lora": "{name: lora, rank: 2}", "bitfit": "bitfit"}
STEPS = 12


def make_data(folder: Path) -> None:
    """train.json (24 questions), dev.json (8), test.json (6): the answer is the word after ``key``."""
    for name, count in (("train", 24), ("dev", 8), ("test", 6)):
        draw = random.Random(name)
        paragraphs = []
        for number in range(count):
            words = draw.choices(WORDS, k=70)
            place = draw.randrange(5, 60)
            words[place] = "key"
            context, start = " ".join(words), len(" ".join(words[: place + 1])) + 1
            question = {"id": f"{name}-{number}", "question": f"what {words[0]}"}
            if name != "test":
                question["answers"] = [{"text": words[place + 1], "answer_start": start}]
            paragraphs.append({"context": context, "qas": [question]})
        document = {"data": [{"title": name, "paragraphs": paragraphs}]}
        (folder / f"{name}.json").write_text(json.dumps(document), "utf-8")


def make_backbone(folder: Path) -> None:
    """A BERT of one layer with random weights, and a tokenizer that knows whole words."""
    from tiny_bert import SPECIAL, save_tiny_bert
    from tokenizers import Tokenizer, models, pre_tokenizers

    special = list(SPECIAL.values())
    vocabulary = {word: number for number, word in enumerate([*special, "what", "key", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    save_tiny_bert(backend, folder, hidden_size=16, layers=1, positions=64)


def make_recipe(folder: Path, adapter: str) -> Path:
    """Twelve steps; evaluations, checkpoints and logged lines fall on different ones."""
    path = folder / f"{adapter}.yaml"
    path.write_text(
        f"""\
data: {{reader: squad, train: train.json, validation: dev.json, test: test.json}}
backbone: {{source: ./backbone}}
windows: {{max_length: 40, max_question_length: 8}}
preprocess:
  train: random_window
  predict: {{name: stride, overlap: 8}}
adapter: {ADAPTERS[adapter]}
train:
  epochs: 2
  batch_size: 4
  accumulation: 2
  learning_rate: 1e-2
  schedule: constant
  precision: fp32
  ema: {{decay: 0.8}}
  log_every: 3
  checkpoint_every: 2
  evaluate_every: 4
  evaluate_before: true
  max_skipped: 2
predict: {{batch_size: 8, n_best: 4, character_scores: true}}
metric: squad_v1
writer: {{name: csv, id_column: id, answer_column: answer}}
""",
        "utf-8",
    )
    return path


def make_all(folder: Path) -> None:
    """Everything that the recipes name, in one folder."""
    folder.mkdir()
    (folder / "backbone").mkdir()
    make_data(folder)
    make_backbone(folder / "backbone")
    for adapter in ADAPTERS:
        make_recipe(folder, adapter)
