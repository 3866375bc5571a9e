"""When the loop logs, evaluates, saves and ends, and where in the training each of them says it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator
from tiny_model import WINDOWS, tiny_epoch, tiny_model, tiny_recipe

from qakit.modeling.model import ReadingModel
from qakit.training.checkpoints import Progress
from qakit.training.events import Event, Notice, StepDone, StoppedEarly
from qakit.training.feed import Epoch
from qakit.training.interrupts import StopRequest
from qakit.training.loop import train
from qakit.training.optim import build_optimiser
from qakit.training.plan import Plan

THREE = replace(tiny_epoch(), batches=[np.arange(WINDOWS)] * 3)
"""An epoch of three steps."""


@dataclass
class Heard:
    """What was asked of the keeper and told to the listener, in order."""

    checkpoints: list[Progress] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    attacked: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)

    def steps(self, name: str) -> list[int]:
        return [step for called, step in self.calls if called == name]

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def trained(
    heard: Heard,
    *,
    epochs: int = 2,
    progress: Progress | None = None,
    model: ReadingModel | None = None,
    judged: Callable[[Progress], Progress] = lambda progress: progress,
    **settings: Any,
) -> Progress:
    """Train a tiny model for epochs of three steps."""

    def checkpoint(progress: Progress) -> None:
        heard.checkpoints.append(progress)
        heard.calls.append(("checkpoint", progress.step))

    def evaluate(progress: Progress) -> Progress:
        heard.calls.append(("evaluate", progress.step))
        return judged(progress)

    def next_epoch(number: int, *, previous: Epoch) -> Epoch:
        return replace(previous, number=number)

    def begins(at: float) -> bool:
        heard.attacked.append(at)
        return False

    usual = {"learning_rate": 1e-2, "warmup": 0, "log_every": 4, "evaluate_every": 100, "checkpoint_every": 100}
    recipe = tiny_recipe(**(usual | settings))
    model = tiny_model() if model is None else model
    keeper = SimpleNamespace(
        checkpoint=checkpoint,
        evaluate=evaluate,
        combine_kept=lambda progress: heard.calls.append(("combine", progress.step)),
        complete_checkpoint=lambda progress: heard.calls.append(("complete", progress.step)),
        save_batch=lambda *_: None,
    )
    journal = SimpleNamespace(metrics=lambda **line: heard.lines.append(line), timing=lambda **_: None, losses=list)
    freezing = SimpleNamespace(hold=lambda optimiser, at: heard.held.append(at))
    return train(
        recipe,
        Plan(3 * epochs, 0, THREE, tuple(3 * (number + 1) for number in range(epochs))),
        SimpleNamespace(epoch=next_epoch),  # type: ignore[arg-type]
        accelerator=Accelerator(cpu=True),
        model=model,
        optimiser=build_optimiser(model, recipe.train),
        tricks=SimpleNamespace(attack=SimpleNamespace(begins=begins), freezing=freezing, average=None),  # type: ignore[arg-type]
        keeper=keeper,  # type: ignore[arg-type]
        journal=journal,  # type: ignore[arg-type]
        progress=progress or Progress(),
        listener=heard.events.append,
        stop_request=StopRequest(),
    )


def without_a_second_loss() -> ReadingModel:
    """A model whose loss in the second step is no number."""
    model, readings = tiny_model(), iter(range(100))

    def spoil(module: Any, inputs: Any, output: Any) -> Any:
        return replace(output, loss=output.loss * float("nan")) if next(readings) == 1 else output

    model.register_forward_hook(spoil)
    return model


def test_each_step_says_how_far_the_training_is() -> None:
    heard = Heard()
    assert trained(heard, checkpoint_every=1) == Progress(step=6, epoch=2, epochs=2.0, accumulation=1)
    assert [(event.step, event.epoch, event.windows) for event in heard.of(StepDone)] == [
        (number, pytest.approx(number / 3, abs=1e-6), WINDOWS) for number in range(1, 7)
    ]
    assert [(each.epoch, each.batch) for each in heard.checkpoints] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert heard.attacked == heard.held == pytest.approx([0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3])


def test_the_first_the_last_and_every_fourth_step_are_logged_with_their_rate() -> None:
    heard = Heard()
    trained(heard)
    assert [line["step"] for line in heard.lines] == [1, 4, 6]
    falls = [6 / 6, 3 / 6, 1 / 6]  # along a line, from the first step on
    assert [line["learning_rate"] for line in heard.lines] == pytest.approx([1e-2 * factor for factor in falls])
    told = {event.step: event.learning_rate for event in heard.of(StepDone) if event.loss is not None}
    assert told == {line["step"]: line["learning_rate"] for line in heard.lines}


@pytest.mark.parametrize(
    ("evaluate_every", "checkpoint_every", "evaluated", "saved"),
    [
        (2, 3, [2, 4, 6], [2, 3, 4, 6]),
        ("epoch", 2, [3, 6], [2, 3, 4, 6]),
        (4, "epoch", [4, 6], [3, 4, 6]),
        (100, 4, [6], [4, 6]),  # the end is judged in any case
    ],
)
def test_a_checkpoint_lies_before_each_evaluation_and_wherever_the_recipe_wants_one(
    evaluate_every: int | str, checkpoint_every: int | str, evaluated: list[int], saved: list[int]
) -> None:
    heard = Heard()
    trained(heard, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every)
    assert heard.steps("evaluate") == heard.steps("complete") == evaluated
    assert heard.steps("checkpoint") == saved
    assert [each.step for each in heard.checkpoints if each.to_evaluate] == evaluated
    assert heard.steps("combine") == [6]


@pytest.mark.parametrize(("every", "evaluated"), [(2, [6]), (3, [3, 6])])
def test_of_the_evaluations_every_so_many_th_is_made_where_time_is_short(every: int, evaluated: list[int]) -> None:
    """Of those after each step the third and the sixth; of those after each of two epochs the second."""
    heard = Heard()
    trained(heard, progress=Progress(pace=(0, 0, 6, every)), evaluate_every="epoch" if every == 2 else 1)
    assert heard.steps("evaluate") == evaluated


def test_it_ends_with_as_many_evaluations_without_gain_as_are_allowed() -> None:
    heard = Heard()

    def worse(progress: Progress) -> Progress:
        return replace(progress, without_gain=progress.without_gain + (progress.step > 1))

    ended = trained(heard, evaluate_every=1, early_stopping=3, judged=worse)
    assert (ended.step, ended.without_gain) == (4, 3)
    assert [(event.step, event.reason) for event in heard.of(StoppedEarly)] == [
        (4, "3 evaluations without a better one")
    ]
    assert heard.steps("combine") == [4]
    again = Heard()
    assert trained(again, evaluate_every=1, early_stopping=3, progress=ended) == ended
    assert again.calls == []


def test_steps_that_are_left_out_are_told() -> None:
    heard = Heard()
    trained(heard, model=without_a_second_loss())
    assert [event.message for event in heard.of(Notice)] == [
        "1 steps were left out: their loss or gradients were not finite numbers"
    ]
    assert [line["skipped"] for line in heard.lines] == [0, 1, 0]


def test_a_loss_is_logged_where_a_step_was_done() -> None:
    heard = Heard()
    trained(heard, model=without_a_second_loss(), log_every=1)
    assert [line["loss"] is None for line in heard.lines] == [False, True, False, False, False, False]
