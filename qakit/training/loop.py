"""The training loop, to be read top to bottom.

Every random choice has an address: windows and batches (seed, epoch), dropout (seed, step, part). A resumed run
therefore repeats an uninterrupted one bit for bit. Windows and batches don't depend on how a step is cut into parts;
dropout does, so only runs with equally many parts (processes x accumulation) draw the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import torch
from accelerate import Accelerator

from qakit.errors import RunError
from qakit.recipe.model import Recipe, TrainSection
from qakit.training.adversarial import attack_on
from qakit.training.averaging import WeightAverage, is_due
from qakit.training.checkpoints import Progress
from qakit.training.events import Listener, Notice, StepDone, StoppedEarly
from qakit.training.feed import Epoch, Feed
from qakit.training.freezing import Freezing
from qakit.training.guards import StepGuard, is_time_to_look, not_learning, told_when_memory_ends
from qakit.training.interrupts import InterruptedTrainingError, StopRequest
from qakit.training.journal import Journal
from qakit.training.optim import set_rates
from qakit.training.schedule import step_factor, warmup_steps
from qakit.training.sharding import whole
from qakit.training.step import step_gradients

SMALLER_MODEL = "choose a smaller backbone, or an adapter that trains fewer weights (lora, bitfit, freeze)"


class Keeper(Protocol):
    """Evaluates and saves at the moments that the loop names."""

    def evaluate(self, progress: Progress, *, epoch: float) -> Progress:
        """Judge the weights, keep them if they are the best, and return the progress with that noted."""
        ...

    def finish(self, progress: Progress, *, epoch: float) -> None:
        """Make the best of what was kept; only a checkpoint comes after it."""
        ...

    def checkpoint(self, progress: Progress) -> None:
        """Make it possible to resume from here."""
        ...

    def save_batch(self, epoch: Epoch, rows: Any, progress: Progress) -> None:
        """Keep a batch that breaks the training, for the user to look at."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the training is."""

    steps: int
    warmup: int
    first: Epoch

    @staticmethod
    def of(recipe: Recipe, feed: Feed) -> Plan:
        """Counted on the first epoch of each window length: with a token budget and redrawn windows, later epochs may
        differ by a few batches."""
        first, epochs, batches = feed.epoch(0), recipe.train.epochs, 0.0
        for begin, end in pairwise([*feed.begins, epochs]):
            counted = first if begin == 0 else feed.epoch(int(begin))
            batches += (end - begin) * len(counted.batches)
        steps = math.ceil(batches - 1e-9)
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
    average: WeightAverage | None,
    freezing: Freezing | None,
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
        average: of the model's weights, updated with each step.
        freezing: what does not train yet.

    Raises:
        RunError: too many steps in a row had a loss or gradients that are not finite, or the memory does not suffice
            for a single window.
        InterruptedTrainingError: a stop was requested; the checkpoint is written.
    """
    section = recipe.train
    device, scaled = accelerator.device, accelerator.scaler is not None
    # Summed since the last logged step; stays on the device until then, so that no step waits for it.
    losses = torch.tensor(progress.loss_sum, device=device)
    guard = StepGuard(optimiser, device=device, scaled=scaled, in_a_row=progress.skipped_in_a_row)
    since, left_out, windows_since, clock = progress.unlogged, progress.skipped, 0, time.perf_counter()
    model.train()
    if _exhausted(section, progress):  # a run that had stopped early is resumed
        return progress
    attack = attack_on(accelerator.unwrap_model(model), section.adversarial)
    for epoch, rows, position in _batches(feed, plan, progress):
        step = progress.step
        factor = step_factor(section, step, total=plan.steps, warmup=plan.warmup)
        set_rates(optimiser, factor)
        accumulation = progress.accumulation or section.accumulation
        begun = epoch.number + position / len(epoch.batches)
        loss, accumulation = step_gradients(
            recipe,
            epoch,
            rows,
            step,
            accumulation,
            attack=attack if attack is not None and attack.begins(begun) else None,
            accelerator=accelerator,
            model=model,
            optimiser=optimiser,
            listener=listener,
        )
        if freezing is not None:
            freezing.hold(optimiser, at=begun)
        with told_when_memory_ends(f"while the weights were updated in step {step + 1}", SMALLER_MODEL):
            norm = whole(accelerator.clip_grad_norm_(model.parameters(), section.max_grad_norm or math.inf))
            losses += guard.judge(loss, norm)
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        ends_epoch = position + 1 == len(epoch.batches)
        if average is not None:
            average.update(step + 1, ends_epoch=ends_epoch)

        since, windows_since = since + 1, windows_since + len(rows)
        progress = replace(
            progress,
            step=step + 1,
            epoch=epoch.number + 1 if ends_epoch else epoch.number,
            batch=0 if ends_epoch else position + 1,
            accumulation=accumulation,
        )
        at = epoch.number + (position + 1) / len(epoch.batches)
        logged = progress.step % section.log_every == 0 or progress.step in (1, plan.steps)
        if logged:
            skipped, in_a_row = guard.read()
            skipped += left_out
            if in_a_row >= section.max_skipped:
                keeper.save_batch(epoch, rows, progress)
                raise RunError(_broken(in_a_row, progress.step, section))
            if skipped:
                listener(Notice(f"{skipped} steps were left out: their loss or gradients were not finite numbers"))
            mean_loss = float(losses) / max(1, since - skipped)
            gradient = float(norm)
            rate = section.learning_rate * factor
            journal.metrics(
                type="train",
                step=progress.step,
                epoch=round(at, 6),
                loss=mean_loss if since > skipped else None,
                learning_rate=rate,
                grad_norm=gradient if math.isfinite(gradient) else None,
                skipped=skipped,
            )
            speed = windows_since / (time.perf_counter() - clock)
            journal.timing(type="train", step=progress.step, windows_per_second=speed)
            listener(StepDone(progress.step, at, len(rows), mean_loss, rate, speed))
            if is_time_to_look(progress.step, steps=plan.steps, log_every=section.log_every):
                remark = not_learning(journal.losses())
                if remark:
                    listener(Notice(remark))
            losses.zero_()
            since, left_out, windows_since, clock = 0, 0, 0, time.perf_counter()
        else:
            listener(StepDone(progress.step, at, len(rows)))

        done = progress.step == plan.steps
        paused = time.perf_counter()
        if done or is_due(section.evaluate_every, progress.step, ends_epoch=ends_epoch):
            progress = keeper.evaluate(progress, epoch=round(at, 6))
            model.train()
        stop = _exhausted(section, progress)
        if done or stop:
            keeper.finish(progress, epoch=round(at, 6))
        interrupt = _agreed(stop_request, accelerator, logged)
        if done or stop or interrupt or is_due(section.checkpoint_every, progress.step, ends_epoch=ends_epoch):
            skipped, in_a_row = guard.peek()
            keeper.checkpoint(
                replace(
                    progress,
                    loss_sum=float(losses),
                    unlogged=since,
                    skipped=left_out + skipped,
                    skipped_in_a_row=in_a_row,
                )
            )
        clock += time.perf_counter() - paused
        if done or stop:  # a request that came while the last checkpoint was written is heard, too
            interrupt = interrupt or _agreed(stop_request, accelerator, True)
        if interrupt:
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
    """The signal that some process has heard, 0 for none. Several processes compare notes.

    On a GPU that means to wait for it, so there it is done at logged steps only.
    """
    if accelerator.num_processes == 1:
        return request.signal
    if not logged and accelerator.device.type != "cpu":
        return 0
    heard = accelerator.gather(torch.tensor([request.signal], device=accelerator.device))
    return int(heard.max())


def _broken(in_a_row: int, step: int, section: TrainSection) -> str:
    precise = "" if section.precision == "fp32" else ", or set train.precision=fp32"
    return (
        f"the loss or its gradients were not finite numbers in {in_a_row} steps in a row, up to step {step}; "
        f"lower train.learning_rate (now {section.learning_rate:g}){precise}; "
        "the last of these batches is in broken-batch.json in the run's folder"
    )


def _exhausted(section: TrainSection, progress: Progress) -> bool:
    """Whether early stopping has come: too many evaluations without a better one."""
    return section.early_stopping is not None and progress.without_gain >= section.early_stopping
