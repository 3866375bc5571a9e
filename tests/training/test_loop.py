"""When the loop evaluates, saves, logs and ends: two epochs of three batches, and a keeper that notes what it is asked.

What the steps compute is tested with whole trainings (``tests/cli/test_train.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny_model import WINDOWS, tiny_epoch, tiny_model, tiny_recipe

from qakit.training.checkpoints import Progress
from qakit.training.events import Event, Notice, StoppedEarly
from qakit.training.feed import Epoch
from qakit.training.interrupts import InterruptedTrainingError, StopRequest
from qakit.training.loop import train
from qakit.training.optim import build_optimiser
from qakit.training.plan import Plan

BATCHES = 3
"""Of an epoch."""


@dataclass
class Bench:
    """One training, and what came of it."""

    epochs: int = 2
    gains: Callable[[int], bool] = lambda _: True
    """Whether the evaluation after this step is better than those before."""
    broken: int | None = None
    """The step whose gradients are not finite."""
    stopped_in: int | None = None
    """The step in which somebody asks to stop."""
    happened: list[tuple[str, int]] = field(default_factory=list)
    saved: dict[int, Progress] = field(default_factory=dict)
    """By step, the progress of its last checkpoint."""
    logged: list[dict[str, Any]] = field(default_factory=list)
    heard: list[Event] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    """How many epochs had been done when each step was begun."""

    def train(self, progress: Progress | None = None, **settings: Any) -> Progress:
        recipe, model, stop = tiny_recipe(**{"warmup": 0, "log_every": 4} | settings), tiny_model(), StopRequest()
        epoch = replace(tiny_epoch(), batches=[np.arange(WINDOWS)] * BATCHES)
        ends = tuple(BATCHES * (each + 1) for each in range(self.epochs))
        plan = Plan(ends[-1], 0, epoch, ends)

        def next_epoch(number: int, *, previous: Epoch) -> Epoch:
            return replace(previous, number=number)

        def hold(_: object, *, at: float) -> None:
            self.begun.append(at)
            if len(self.begun) == self.broken:
                next(model.parameters()).grad = torch.full_like(next(model.parameters()), torch.nan)
            if len(self.begun) == self.stopped_in:
                stop.signal = 2

        def evaluated(progress: Progress) -> Progress:
            self.happened.append(("evaluate", progress.step))
            return replace(progress, without_gain=0 if self.gains(progress.step) else progress.without_gain + 1)

        def saved(what: str) -> Callable[[Progress], None]:
            def noted(progress: Progress) -> None:
                self.happened.append((what, progress.step))
                self.saved[progress.step] = progress

            return noted

        keeper = SimpleNamespace(
            evaluate=evaluated,
            checkpoint=saved("save"),
            complete_checkpoint=saved("complete"),
            combine_kept=lambda progress: self.happened.append(("combine", progress.step)),
        )
        return train(
            recipe,
            plan,
            SimpleNamespace(epoch=next_epoch),  # type: ignore[arg-type]
            accelerator=Accelerator(cpu=True),
            model=model,
            optimiser=build_optimiser(model, recipe.train),
            tricks=SimpleNamespace(attack=None, freezing=SimpleNamespace(hold=hold), average=None),  # type: ignore[arg-type]
            keeper=keeper,  # type: ignore[arg-type]
            journal=SimpleNamespace(  # type: ignore[arg-type]
                metrics=lambda **line: self.logged.append(line), timing=lambda **_: None, losses=list
            ),
            progress=progress or Progress(),
            listener=self.heard.append,
            stop_request=stop,
        )

    def steps(self, what: str) -> list[int]:
        return [step for happened, step in self.happened if happened == what]


def test_a_checkpoint_comes_before_each_evaluation_and_by_itself_as_often_as_asked() -> None:
    bench = Bench()
    bench.train(evaluate_every=2, checkpoint_every=3)
    assert bench.happened == [
        *[("save", 2), ("evaluate", 2), ("complete", 2)],
        ("save", 3),
        *[("save", 4), ("evaluate", 4), ("complete", 4)],
        *[("save", 6), ("evaluate", 6), ("combine", 6), ("complete", 6)],
    ]
    assert [line["step"] for line in bench.logged] == [1, 4, 6]
    assert [line["epoch"] for line in bench.logged] == pytest.approx([1 / 3, 4 / 3, 2], abs=1e-6)


def test_a_checkpoint_says_where_the_training_goes_on() -> None:
    bench = Bench()
    bench.train(evaluate_every=6, checkpoint_every=1)
    assert {step: (each.epoch, each.batch) for step, each in bench.saved.items()} == {
        **{step: (0, step) for step in (1, 2)},
        **{step: (1, step - 3) for step in (3, 4, 5)},
        6: (2, 0),
    }
    assert [each.to_evaluate for each in bench.saved.values()] == [False] * 6  # the last one's is done
    again = Bench()
    again.train(bench.saved[4], evaluate_every=6, checkpoint_every=1)
    assert again.begun == bench.begun[4:]
    assert again.saved[6].epochs == bench.saved[6].epochs == 2


def test_where_a_step_begins_is_told_in_epochs() -> None:
    bench = Bench()
    bench.train()
    assert bench.begun == pytest.approx([0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3])


@pytest.mark.parametrize(
    ("every", "left", "evaluated"),
    [
        (1, 2, [2, 4, 6, 8, 9]),
        (2, 2, [4, 8, 9]),
        ("epoch", 1, [3, 6, 9]),
        ("epoch", 2, [6, 9]),
        ("epoch", 3, [9]),
    ],
)
def test_of_the_evaluations_every_so_many_th_is_made(every: Any, left: int, evaluated: list[int]) -> None:
    bench = Bench(epochs=3)
    bench.train(Progress(pace=(0, 0, 9, left)), evaluate_every=every, checkpoint_every=9)
    assert bench.steps("evaluate") == evaluated


def test_so_many_evaluations_without_a_gain_end_the_training() -> None:
    bench = Bench(gains=lambda step: step == 1)
    progress = bench.train(evaluate_every=1, early_stopping=2, checkpoint_every=6)
    assert bench.steps("evaluate") == [1, 2, 3]
    assert bench.steps("combine") == [3]
    assert [each for each in bench.heard if isinstance(each, StoppedEarly)] == [
        StoppedEarly(3, "2 evaluations without a better one")
    ]
    again = Bench()
    assert again.train(progress, evaluate_every=1, early_stopping=2) == progress
    assert (again.begun, again.happened) == ([], [])


def test_an_evaluation_that_broke_off_is_done_before_the_next_step() -> None:
    bench = Bench()
    bench.train(Progress(step=4, epoch=1, batch=1, to_evaluate=True), evaluate_every=4, checkpoint_every=6)
    assert bench.happened[:2] == [("evaluate", 4), ("complete", 4)]
    assert bench.steps("evaluate") == [4, 6]


def test_steps_that_were_left_out_are_told_when_they_are_logged() -> None:
    bench = Bench(broken=2)
    bench.train()
    assert [line["skipped"] for line in bench.logged] == [0, 1, 0]
    assert [each.message for each in bench.heard if isinstance(each, Notice)] == [
        "1 steps were left out: their loss or gradients were not finite numbers"
    ]
    whole = Bench()
    whole.train()
    # The mean over the steps that were taken; of three steps at a small rate the loss is about the same.
    assert bench.logged[1]["loss"] == pytest.approx(whole.logged[1]["loss"], rel=1e-2)
    assert [line["learning_rate"] for line in whole.logged] == pytest.approx([3e-5, 1.5e-5, 0.5e-5])


def test_who_is_asked_to_stop_saves_and_stops() -> None:
    bench = Bench(stopped_in=4)
    with pytest.raises(InterruptedTrainingError, match="after step 4"):
        bench.train(evaluate_every=6, checkpoint_every=6)
    assert bench.happened == [("save", 4)]
