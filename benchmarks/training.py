"""The same training by qakit and by transformers' ``Trainer``: ``python benchmarks/training.py``.

The questions of the project's sample, windows of 384 tokens that overlap by 128, 16 of them a step, all weights, the
same rate, schedule and number of steps. Three sides: ``qakit``, ``run_qa`` (what ``run_qa.py`` does: padded to 384,
fp32) and ``trainer`` (its loop with the widths of the batch, and the precision that qakit takes by itself). First
windows/s of a few steps, in alternating rounds; then with ``--learn`` whole trainings, and what each learnt: exact
match and F1 on questions of other articles, each side against qakit, paired by question. The peers' windows and answers
are made as ``run_qa.py`` and ``utils_qa.py`` make them, without their files.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import torch
from sample import SAMPLES, squad_examples
from torch import Tensor, nn
from training_sides import Setup, Trained, add_options, chosen, fit, fit_qakit
from transformers import (
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    DataCollatorWithPadding,
    default_data_collator,
)
from transformers.utils import logging

import qakit
from qakit.metrics.squad import score_v1
from qakit.modeling.device import pick_device, resolve_precision
from qakit.statistics import interval, paired
from qakit.values import Example, SpanPrediction

WIDTH, OVERLAP, BATCH, N_BEST, LONGEST = 384, 128, 16, 20, 30
"""Tokens, tokens, windows, candidates of each end, tokens of an answer: ``run_qa.py``'s own, but for its batch of 8."""


@dataclass(frozen=True, kw_only=True)
class Task(Setup):
    """What all sides train and answer, too."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]


Side = Callable[[Task, int | None], Trained]
"""A training of some steps, or a whole one, whose model then answers."""


def by_qakit(task: Task, steps: int | None) -> Trained:
    """As a recipe."""
    recipe: dict[str, Any] = {
        "data": {
            "reader": "squad",
            "train": str(write(task.train, task.folder / "train.json")),
            "validation": str(write(task.dev, task.folder / "dev.json")) if steps is None else None,
        },
        "backbone": {"source": str(task.backbone), "overrides": task.dropped()},
        "windows": {"max_length": WIDTH, "max_question_length": 64},
        "preprocess": {name: {"name": "stride", "overlap": OVERLAP} for name in ("train", "predict")},
        "train": task.train_section(BATCH),
        "predict": {"max_answer_length": LONGEST, "aggregation": "max_context"},
        "seed": task.seed,
    }
    if steps is not None:
        recipe["train"]["max_steps"] = steps

    def answers(run: qakit.Run) -> tuple[str, ...]:
        found = {each.id: each.answer for each in run.predictions() if isinstance(each, SpanPrediction)}
        return tuple(found[each.id] for each in task.dev)

    return fit_qakit(recipe, task.folder, answers if steps is None else None)


def by_trainer(task: Task, steps: int | None, *, padded: bool) -> Trained:
    """By transformers: ``padded`` to the whole width and in fp32, else to the batch's and in qakit's own precision."""
    precision = "fp32" if padded else resolve_precision("auto", pick_device())
    tokenizer = AutoTokenizer.from_pretrained(task.backbone)
    torch.manual_seed(task.seed)
    model = AutoModelForQuestionAnswering.from_pretrained(task.backbone, dtype=torch.float32, **task.dropped())
    table = datasets.Dataset.from_list(features(tokenizer, task.train, padded=padded))
    collator = default_data_collator if padded else DataCollatorWithPadding(tokenizer)
    trained = fit(model, table, collator, task, steps, BATCH, precision)
    return replace(trained, answers=answered(model, tokenizer, task.dev)) if steps is None else trained


def features(
    tokenizer: Any, examples: Sequence[Example], *, padded: bool, targets: bool = True
) -> list[dict[str, Any]]:
    """The windows. With ``targets`` the first and last token of the answer; where it is not in the window, 0 and 0.

    Without ``targets`` each also has ``example`` and ``offsets``: of each token its characters, None outside the
    context.
    """
    coded = tokenizer(
        [each.question.lstrip() for each in examples],
        [each.contexts[0] for each in examples],
        truncation="only_second",
        max_length=WIDTH,
        stride=OVERLAP,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if padded else False,
    )
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in coded]
    found = []
    for row, number in enumerate(coded["overflow_to_sample_mapping"]):
        window = {name: coded[name][row] for name in names}
        offsets: list[tuple[int, int] | None] = [
            pair if part == 1 else None
            for pair, part in zip(coded["offset_mapping"][row], coded.sequence_ids(row), strict=True)
        ]
        if not targets:
            found.append(window | {"example": number, "offsets": offsets})
            continue
        answer = next(iter(examples[number].answers or ()))
        first = [at for at, pair in enumerate(offsets) if pair and pair[0] <= answer.start < pair[1]]
        last = [at for at, pair in enumerate(offsets) if pair and pair[0] < answer.end <= pair[1]]
        ends = (first[0], last[0]) if first and last else (0, 0)
        found.append(window | {"start_positions": ends[0], "end_positions": ends[1]})
    return found


@torch.inference_mode()
def answered(model: nn.Module, tokenizer: Any, examples: Sequence[Example], size: int = 32) -> tuple[str, ...]:
    """The best span of each question over its windows, by the sum of its ends' scores."""
    model.eval()
    windows = features(tokenizer, examples, padded=False, targets=False)
    best: dict[int, tuple[float, str]] = {}
    for begin in range(0, len(windows), size):
        some = windows[begin : begin + size]
        plain = [{name: value for name, value in each.items() if name not in ("example", "offsets")} for each in some]
        batch = tokenizer.pad(plain, return_tensors="pt").to(next(model.parameters()).device)
        output = model(**batch)
        for window, starts, ends in zip(some, output.start_logits.cpu(), output.end_logits.cpu(), strict=True):
            found = best_span(window["offsets"], starts, ends)
            number = window["example"]
            if found is not None and (number not in best or found[0] > best[number][0]):
                score, start, end = found
                best[number] = (score, examples[number].contexts[0][start:end])
    return tuple(best[number][1] if number in best else "" for number in range(len(examples)))


def best_span(offsets: Sequence[Sequence[int] | None], starts: Tensor, ends: Tensor) -> tuple[float, int, int] | None:
    """Score and characters of the best span of one window among the likeliest starts and ends."""
    kept = min(N_BEST, len(starts))
    spans = [
        (float(starts[first] + ends[last]), begin[0], stop[1])
        for first in starts.topk(kept).indices.tolist()
        for last in ends.topk(kept).indices.tolist()
        if first <= last < first + LONGEST
        and last < len(offsets)
        and (begin := offsets[first]) is not None
        and (stop := offsets[last]) is not None
    ]
    return max(spans, default=None)


def read(path: Path) -> tuple[Example, ...]:
    """The questions of a SQuAD file that have an answer."""
    return tuple(each for each in squad_examples(path) if each.answers)


def write(examples: Sequence[Example], path: Path) -> Path:
    """The questions as a SQuAD file."""
    paragraphs = [
        {
            "context": each.contexts[0],
            "qas": [
                {
                    "id": each.id,
                    "question": each.question,
                    "answers": [{"text": answer.text, "answer_start": answer.start} for answer in each.answers or ()],
                }
            ],
        }
        for each in examples
    ]
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "all", "paragraphs": paragraphs}]}), "utf-8")
    return path


SIDES: dict[str, Side] = {
    "qakit": by_qakit,
    "run_qa": lambda task, steps: by_trainer(task, steps, padded=True),
    "trainer": lambda task, steps: by_trainer(task, steps, padded=False),
}


def measure(task: Task, names: Sequence[str], *, steps: int, rounds: int) -> dict[str, float]:
    """Windows/s of each side: the median of rounds, in which each of them takes its turn.

    A round is an epoch over questions from everywhere: qakit's batches are of like lengths, so few of them say little.
    """
    wanted = steps * BATCH
    few = replace(task, train=task.train[:: max(1, len(task.train) // wanted)][:wanted], epochs=1)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            rates[name].append(SIDES[name](few, steps).rate)
            print(f"{name:8} {rates[name][-1]:8.2f} windows/s", flush=True)
    return {name: statistics.median(each) for name, each in rates.items()}


def learn(task: Task, name: str) -> dict[str, Any]:
    """A whole training of one side, and what it answers."""
    trained = SIDES[name](task, None)
    scores = [score_v1(each, answer) for each, answer in zip(task.dev, trained.answers, strict=True)]
    exact, f1 = ([100 * each[part] for each in scores] for part in (0, 1))
    print(f"{name:8} exact match {statistics.mean(exact):.2f}, F1 {statistics.mean(f1):.2f}", flush=True)
    return {"windows": trained.windows, "seconds": trained.seconds, "exact_match": exact, "f1": f1}


def main() -> None:
    options = parse()
    logging.set_verbosity_error()
    train, dev = read(options.train)[: options.questions], read(options.dev)[: options.dev_questions]
    task = Task(train=train, dev=dev, **chosen(options))
    written: dict[str, Any] = {"backbone": options.backbone, "train": len(train), "dev": len(dev)}
    if options.rounds:
        written["rates"] = rates = measure(task, options.sides, steps=options.steps, rounds=options.rounds)
        for name in options.sides:
            print(f"{name:8} {rates[name]:8.2f} windows/s; qakit {rates['qakit'] / rates[name]:5.2f} times as fast")
    if options.learn:
        written["learnt"] = learnt = {name: learn(task, name) for name in options.sides}
        for figure in ("exact_match", "f1"):
            for name in options.sides:
                values = learnt[name][figure]
                low, high = interval(values, seed=0)
                against = (
                    "" if name == "qakit" else f"; qakit - {name} {paired(learnt['qakit'][figure], values, seed=0)}"
                )
                print(f"{figure:12} {name:8} {statistics.mean(values):6.2f} [{low:.2f}, {high:.2f}]{against}")
    if options.output:
        options.output.write_text(json.dumps(written, indent=1), "utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, default=SAMPLES / "squad-train.json", help="in SQuAD's format")
    parser.add_argument("--dev", type=Path, default=SAMPLES / "squad-dev.json")
    parser.add_argument("--questions", type=int, help="train with the first ones only")
    parser.add_argument("--dev-questions", type=int, help="likewise")
    add_options(parser, epochs=2, learning_rate=1e-4)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument(
        "--steps",
        type=int,
        default=6,
        help="in each round, an epoch over as many batches; the first step does not count",
    )
    parser.add_argument("--rounds", type=int, default=3, help="0: speed is not measured apart")
    parser.add_argument("--learn", action="store_true", help="train whole, and compare what was learnt")
    options = parser.parse_args()
    if "qakit" not in options.sides:
        parser.error("--sides: the others are compared with qakit")
    return options


if __name__ == "__main__":
    main()
