"""GLUE's SST-2 by qakit and by transformers' ``Trainer``: ``python benchmarks/glue.py GLUE/SST-2``.

The same sentences, epochs, rate, schedule and number of steps, all weights, and a classifier of the same form (position
0, a linear layer, tanh, a linear layer), each with first weights of its own. Three sides: ``qakit``, ``run_glue``
(what ``run_glue.py`` does: padded to 128, fp32) and ``trainer`` (its loop with the widths of the batch, and the
precision that qakit takes by itself). Accuracy on dev, each side against qakit, paired by sentence.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import torch
from training_sides import Setup, Trained, add_options, chosen, fit, fit_qakit
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding
from transformers.utils import logging

import qakit
from qakit.modeling.device import pick_device, resolve_precision
from qakit.statistics import interval, paired
from qakit.values import LabelPrediction

WIDTH, BATCH = 128, 32
"""Tokens and sentences: ``run_glue.py``'s own."""
CLASSES = ("0", "1")


@dataclass(frozen=True, kw_only=True)
class Sentences(Setup):
    """What all sides train and classify."""

    data: Path
    limit: int | None


def by_qakit(task: Sentences) -> Trained:
    """As a recipe."""
    recipe = {
        "data": {
            "reader": {"name": "glue", "task": "SST-2"},
            "train": str(task.data / "train.tsv"),
            "validation": str(task.data / "dev.tsv"),
            "train_limit": task.limit,
            "labels": CLASSES,
        },
        "backbone": {"source": str(task.backbone), "overrides": task.dropped()},
        "windows": {"max_length": WIDTH},
        "preprocess": {"train": "truncate", "predict": "truncate"},
        "head": "classifier",
        "train": task.train_section(BATCH),
        "metric": {"name": "glue", "task": "SST-2"},
        "seed": task.seed,
    }

    def classes(run: qakit.Run) -> tuple[str, ...]:
        return tuple(str(each.label) for each in run.predictions() if isinstance(each, LabelPrediction))

    return fit_qakit(recipe, task.folder, classes)


def by_trainer(task: Sentences, *, padded: bool) -> Trained:
    """By transformers: ``padded`` to the whole width and in fp32, else to the batch's and in qakit's own precision."""
    tokenizer = AutoTokenizer.from_pretrained(task.backbone)
    torch.manual_seed(task.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        task.backbone, dtype=torch.float32, num_labels=len(CLASSES), **task.dropped()
    )
    rows = read(task.data / "train.tsv")[: task.limit]
    kind = {"padding": "max_length" if padded else False, "truncation": True, "max_length": WIDTH}
    table = datasets.Dataset.from_list(
        [{**tokenizer(text, **kind), "labels": CLASSES.index(label)} for text, label in rows]
    )
    precision = "fp32" if padded else resolve_precision("auto", pick_device())
    trained = fit(model, table, DataCollatorWithPadding(tokenizer), task, None, BATCH, precision)
    model.eval()
    answers: list[str] = []
    texts = [text for text, _ in read(task.data / "dev.tsv")]
    with torch.inference_mode():
        for begin in range(0, len(texts), BATCH):
            batch = tokenizer(
                texts[begin : begin + BATCH], padding=True, truncation=True, max_length=WIDTH, return_tensors="pt"
            )
            answers += [CLASSES[at] for at in model(**batch.to(model.device)).logits.argmax(dim=-1).tolist()]
    return replace(trained, answers=tuple(answers))


def read(path: Path) -> list[tuple[str, str]]:
    """Sentences and classes of one of GLUE's files."""
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()[1:]]
    return [(text, label) for text, label in rows]


SIDES: dict[str, Callable[[Sentences], Trained]] = {
    "qakit": by_qakit,
    "run_glue": lambda task: by_trainer(task, padded=True),
    "trainer": lambda task: by_trainer(task, padded=False),
}


def main() -> None:
    options = parse()
    logging.set_verbosity_error()
    task = Sentences(data=options.data, limit=options.sentences, **chosen(options))
    truth = [label for _, label in read(options.data / "dev.tsv")]
    learnt: dict[str, dict[str, Any]] = {}
    for name in options.sides:
        trained = SIDES[name](task)
        right = [100.0 * (label == given) for label, given in zip(truth, trained.answers, strict=True)]
        learnt[name] = {"sentences": trained.windows, "seconds": trained.seconds, "accuracy": right}
        low, high = interval(right, seed=0)
        against = (
            ""
            if name == "qakit"
            else f"; qakit - {name} {paired(learnt['qakit']['accuracy'], right, seed=0)}, "
            f"{trained.seconds / learnt['qakit']['seconds']:.2f} times as fast"
        )
        accuracy = statistics.mean(right)
        print(f"{name:8} {accuracy:6.2f} [{low:.2f}, {high:.2f}] in {trained.seconds:.0f} s{against}", flush=True)
    if options.output:
        options.output.write_text(json.dumps(learnt, indent=1), "utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="SST-2's folder: train.tsv and dev.tsv")
    parser.add_argument("--sentences", type=int, help="train with the first ones only")
    add_options(parser, epochs=1, learning_rate=5e-5)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    options = parser.parse_args()
    if options.sides[0] != "qakit":
        parser.error("--sides: qakit comes first, the others are compared with it")
    return options


if __name__ == "__main__":
    main()
