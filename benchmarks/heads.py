"""What heads cost: ``python benchmarks/heads.py recipes/squad2/minilm.yaml linear_span crf joint_span``.

The same recipe with each head, fresh head weights: the time of a training step (forward and backward) and of an
evaluation (scores, n-best, threshold, figures) as multiples of the first head's, rounds alternating. A head is named
or written as in a recipe: ``'{name: crf, mode: single_span}'``.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from instruments import medians

from qakit.inference.evaluation import evaluate
from qakit.inference.scoring import score
from qakit.modeling.device import autocast, pick_device, wait_for_gpu
from qakit.recipe.load import load_recipe
from qakit.registry import load_registry
from qakit.training.events import silence
from qakit.training.prepare import Prepared, prepare_training


def main() -> None:
    options = parse()
    device = pick_device()
    changes = [*options.changes, f"data.validation_limit={options.questions}"]
    prepared = {
        head: prepare_training(
            load_recipe(options.recipe, [*changes, f"head={head}"], registry=load_registry()).recipe,
            load_registry(),
            device=device,
            listener=silence,
        )
        for head in options.heads
    }
    works = {
        (what, head): partial(work, each, device)
        for head, each in prepared.items()
        for what, work in (("step", train_steps), ("evaluation", evaluation))
    }
    seconds = medians(works, options.rounds)
    for what in ("step", "evaluation"):
        first = seconds[what, options.heads[0]]
        for head in options.heads:
            took = seconds[what, head]
            print(f"{what:11} {head:40} {1000 * took:9.1f} ms  {took / first:5.2f}x")


def train_steps(prepared: Prepared, device: torch.device, *, steps: int = 4) -> None:
    """Forward and backward of the first batches."""
    model = prepared.assembled.model.train()
    epoch = prepared.plan.first
    for rows in epoch.batches[:steps]:
        batch = epoch.collator.collate(rows, targets=True).to(device)
        with autocast(device, prepared.precision):
            loss = model(batch).loss
        assert loss is not None
        torch.autograd.backward(loss)
        model.zero_grad(set_to_none=True)
    wait_for_gpu()


def evaluation(prepared: Prepared, device: torch.device) -> None:
    """From windows to figures."""
    assert prepared.validation is not None
    scores = score(prepared.validation, prepared.assembled, device=device, precision=prepared.precision)
    evaluate(prepared.validation, scores, prepared.judge, null_threshold=None, temperature=None)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("heads", nargs="+", help="the first is what the others are compared with")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--questions", type=int, default=300, help="validation questions")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
