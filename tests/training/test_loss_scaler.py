"""The whole loop with a loss scaler, as fp16 on a GPU has it; PyTorch's scaler runs on CPUs, too."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tiny_model import tiny_model, tiny_plan, tiny_recipe, weights_of

from qakit.errors import RunError
from qakit.modeling.model import ReadingModel
from qakit.protocols import HeadOutput
from qakit.training.checkpoints import Progress
from qakit.training.events import Event, Notice
from qakit.training.feed import Epoch
from qakit.training.interrupts import StopRequest
from qakit.training.loop import train
from qakit.training.optim import build_optimiser


class Logged(SimpleNamespace):
    """What a training has said."""

    lines: list[dict[str, Any]]
    notices: list[str]


def trained(model: ReadingModel, *, steps: int, scale: float | None, clip: float = 0.1, log_every: int = 1) -> Logged:
    """Train for some steps of one batch; ``scale``: the scaler's first, None for a training without one."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True)
    if scale is not None:
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        accelerator.native_amp, accelerator.state._mixed_precision = True, "fp16"
    recipe = tiny_recipe(learning_rate=1e-2, max_grad_norm=clip, log_every=log_every, precision="fp16", warmup=0)
    optimiser = accelerator.prepare(build_optimiser(model, recipe.train))
    logged = Logged(lines=[], notices=[])

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            logged.notices.append(event.message)

    def next_epoch(number: int, *, previous: Epoch) -> Epoch:
        return replace(previous, number=number)

    keeper = SimpleNamespace(
        evaluate=lambda progress: progress,
        combine_kept=lambda progress: None,
        complete_checkpoint=lambda progress: None,
        checkpoint=lambda progress: None,
        save_batch=lambda epoch, rows, progress: None,
    )
    journal = SimpleNamespace(metrics=lambda **line: logged.lines.append(line), timing=lambda **_: None, losses=list)
    try:
        train(
            recipe,
            tiny_plan(*range(1, steps + 1)),
            SimpleNamespace(epoch=next_epoch),  # type: ignore[arg-type]
            accelerator=accelerator,
            model=model,
            optimiser=optimiser,
            tricks=SimpleNamespace(attack=None, freezing=None, average=None),  # type: ignore[arg-type]
            keeper=keeper,  # type: ignore[arg-type]
            journal=journal,  # type: ignore[arg-type]
            progress=Progress(),
            listener=listen,
            stop_request=StopRequest(),
        )
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    return logged


class BrokenGradients(torch.nn.Module):
    """A finite loss whose gradients are not numbers."""

    reads = "window"

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, hidden: torch.Tensor, batch: Any) -> HeadOutput:
        return HeadOutput(1 + (0 * self.weight * hidden.sum()).sum().sqrt(), {})


def broken_model() -> ReadingModel:
    return ReadingModel(tiny_model().backbone, BrokenGradients()).train()


@pytest.mark.parametrize("clip", [0.1, 1e6])
def test_scaled_steps_are_the_steps_without_a_scaler(clip: float) -> None:
    """A scale that is a power of two changes no bit, if gradients are unscaled before they are clipped."""
    plain, scaled = tiny_model(), tiny_model()
    without = trained(plain, steps=4, scale=None, clip=clip)
    with_it = trained(scaled, steps=4, scale=2.0**10, clip=clip)
    assert with_it.lines == without.lines
    assert [line["epoch"] for line in without.lines] == [1.0, 2.0, 3.0, 4.0]  # of one step each
    assert [line["learning_rate"] for line in without.lines] == pytest.approx([1e-2, 7.5e-3, 5e-3, 2.5e-3])
    ours, theirs = weights_of(plain), weights_of(scaled)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_scalers_search_for_its_scale_is_counted_and_not_alarming() -> None:
    model = tiny_model()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.mul_(20)  # a large loss
    logged = trained(model, steps=12, scale=2.0**127)  # the scaled loss is infinite, until the scale has been halved
    skipped = [line["skipped"] for line in logged.lines]
    assert 0 < sum(skipped) < 12 and skipped[-1] == 0
    assert [line["loss"] is None for line in logged.lines] == [count == 1 for count in skipped]
    assert logged.notices == []


def test_gradients_that_are_never_numbers_end_the_training() -> None:
    with pytest.raises(RunError, match="not finite numbers in 26 steps in a row"):
        trained(broken_model(), steps=40, scale=2.0**16)


@pytest.mark.parametrize("scale", [None, 2.0**16])
def test_a_short_training_that_took_no_step_does_not_end_as_finished(scale: float | None) -> None:
    before = broken_model()
    with pytest.raises(RunError, match="not finite numbers in 3 steps in a row, up to step 3"):
        trained(before, steps=3, scale=scale, log_every=10)
