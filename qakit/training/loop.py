"""The training loop, to be read top to bottom.

Every random choice has an address: windows and batches (seed, epoch), dropout (seed, step, part). A resumed run
therefore repeats an uninterrupted one bit for bit. Windows and batches don't depend on how a step is cut into parts;
dropout does, so only runs with equally many parts (processes x accumulation) draw the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from accelerate import Accelerator

from qakit.errors import PluginError, RunError
from qakit.randomness import derive_seed
from qakit.recipe.model import Recipe, TrainSection
from qakit.training.checkpoints import Progress
from qakit.training.events import Listener, StepDone, StoppedEarly
from qakit.training.feed import Epoch, Feed, parts_of
from qakit.training.interrupts import InterruptedTrainingError, StopRequest
from qakit.training.journal import Journal
from qakit.training.optim import set_rates
from qakit.training.schedule import rate_factor, warmup_steps


class Keeper(Protocol):
    """Evaluates and saves at the moments that the loop names."""

    def evaluate(self, progress: Progress, *, epoch: float) -> Progress:
        """Judge the weights, keep them if they are the best, and return the progress with that noted."""
        ...

    def checkpoint(self, progress: Progress) -> None:
        """Make it possible to resume from here."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the training is."""

    steps: int
    warmup: int
    first: Epoch

    @staticmethod
    def of(recipe: Recipe, feed: Feed) -> Plan:
        """Counted on epoch 0: with a token budget and redrawn windows, later epochs may differ by a few batches."""
        first = feed.epoch(0)
        steps = math.ceil(recipe.train.epochs * len(first.batches) - 1e-9)
        if recipe.train.max_steps is not None:
            steps = min(steps, recipe.train.max_steps)
        return Plan(max(1, steps), warmup_steps(recipe.train.warmup, max(1, steps)), first)


def train(
    recipe: Recipe,
    plan: Plan,
    feed: Feed,
    *,
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimiser: Any,
    keeper: Keeper,
    journal: Journal,
    progress: Progress,
    listener: Listener,
    stop_request: StopRequest,
) -> Progress:
    """Run optimiser steps from ``progress`` to the end of ``plan``.

    Args:
        model: as the accelerator prepared it (wrapped under several processes).
        optimiser: likewise prepared.

    Raises:
        RunError: the loss is no longer a finite number.
        InterruptedTrainingError: a stop was requested; the checkpoint is written.
    """
    section = recipe.train
    device, processes = accelerator.device, accelerator.num_processes
    # Summed since the last logged step; stays on the device until then, so that no step waits for it.
    losses = torch.tensor(progress.loss_sum if accelerator.is_main_process else 0.0, device=device)
    since, windows_since, clock = progress.unlogged, 0, time.perf_counter()
    model.train()
    if _exhausted(section, progress):  # a run that had stopped early is resumed
        return progress
    for epoch, rows, position in _batches(feed, plan, progress):
        step = progress.step
        set_rates(optimiser, rate_factor(step, total=plan.steps, warmup=plan.warmup, schedule=section.schedule))
        parts = parts_of(rows, accumulation=section.accumulation, rank=accelerator.process_index, processes=processes)
        for index, part in enumerate(parts):
            torch.manual_seed(derive_seed(recipe.seed, "dropout", step, part.address))
            batch = epoch.collator.collate(part.rows, targets=True).to(device)
            last = index == len(parts) - 1
            with _synchronising(accelerator, model, last):
                loss = _checked(model(batch).loss)
                # Processes average their gradients, so each part counts by its share of the step's windows.
                accelerator.backward(loss * (part.weight * processes))
            losses += loss.detach() * part.weight
        norm = accelerator.clip_grad_norm_(model.parameters(), section.max_grad_norm or math.inf)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

        since, windows_since = since + 1, windows_since + len(rows)
        ends_epoch = position + 1 == len(epoch.batches)
        progress = replace(
            progress,
            step=step + 1,
            epoch=epoch.number + 1 if ends_epoch else epoch.number,
            batch=0 if ends_epoch else position + 1,
        )
        at = epoch.number + (position + 1) / len(epoch.batches)
        logged = progress.step % section.log_every == 0 or progress.step in (1, plan.steps)
        if logged:
            mean_loss = _finite(float(accelerator.reduce(losses, "sum")) / since, "loss", progress.step)
            gradient = float(norm)
            if accelerator.scaler is None:  # the fp16 scaler skips steps whose gradients overflow, and goes on
                _finite(gradient, "norm of the gradients", progress.step)
            rate = optimiser.param_groups[0]["lr"]
            journal.metrics(
                type="train",
                step=progress.step,
                epoch=round(at, 6),
                loss=mean_loss,
                learning_rate=rate,
                grad_norm=gradient if math.isfinite(gradient) else None,
            )
            speed = windows_since / (time.perf_counter() - clock)
            journal.timing(type="train", step=progress.step, windows_per_second=speed)
            listener(StepDone(progress.step, at, len(rows), mean_loss, rate, speed))
            losses.zero_()
            since, windows_since, clock = 0, 0, time.perf_counter()
        else:
            listener(StepDone(progress.step, at, len(rows)))

        done = progress.step == plan.steps
        paused = time.perf_counter()
        if done or _due(section.evaluate_every, progress.step, ends_epoch):
            progress = keeper.evaluate(progress, epoch=round(at, 6))
            model.train()
        stop = _exhausted(section, progress)
        interrupt = _agreed(stop_request, accelerator, logged)
        if done or stop or interrupt or _due(section.checkpoint_every, progress.step, ends_epoch):
            keeper.checkpoint(replace(progress, loss_sum=float(accelerator.reduce(losses, "sum")), unlogged=since))
        clock += time.perf_counter() - paused
        if interrupt and not done:
            raise InterruptedTrainingError(interrupt, step=progress.step)
        if stop and not done:
            listener(StoppedEarly(progress.step, f"{progress.without_gain} evaluations without a better one"))
            break
    return progress


def _batches(feed: Feed, plan: Plan, progress: Progress) -> Iterator[tuple[Epoch, Any, int]]:
    """(epoch, rows, position) of every step still to be done."""
    number, position, left = progress.epoch, progress.batch, plan.steps - progress.step
    epoch = plan.first
    while left > 0:
        if epoch.number != number:
            epoch = feed.epoch(number, previous=epoch)
        for index in range(position, len(epoch.batches)):
            if left == 0:
                return
            yield epoch, epoch.batches[index], index
            left -= 1
        number, position = number + 1, 0


def _agreed(request: StopRequest, accelerator: Accelerator, logged: bool) -> int:
    """The signal that all processes have heard of, 0 for none. Several processes compare notes at logged steps."""
    if accelerator.num_processes == 1:
        return request.signal
    if not logged:
        return 0
    heard = accelerator.gather(torch.tensor([request.signal], device=accelerator.device))
    return int(heard.max())


def _checked(loss: torch.Tensor | None) -> torch.Tensor:
    """A loss that can be differentiated."""
    if loss is None or loss.ndim:
        found = "no loss" if loss is None else f"a loss of shape {tuple(loss.shape)}"
        raise PluginError(f"the head gives {found} for a batch with targets; it must give the mean, a single number")
    return loss


def _finite(value: float, what: str, step: int) -> float:
    if not math.isfinite(value):
        raise RunError(
            f"the {what} is no longer a finite number at step {step}; "
            "lower train.learning_rate, or set train.precision=fp32"
        )
    return value


def _exhausted(section: TrainSection, progress: Progress) -> bool:
    """Whether early stopping has come: too many evaluations without a better one."""
    return section.early_stopping is not None and progress.without_gain >= section.early_stopping


def _due(every: str | int, step: int, ends_epoch: bool) -> bool:
    return ends_epoch if every == "epoch" else step % int(every) == 0


def _synchronising(accelerator: Accelerator, model: torch.nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Gradients travel between processes only with the last part of a step."""
    return nullcontext() if last else accelerator.no_sync(model)
