"""The training loop, to be read top to bottom.

Every random choice has an address: windows and batches (seed, epoch), dropout (seed, step, part). A resumed run
therefore repeats an uninterrupted one bit for bit. Windows and batches don't depend on how a step is cut into parts;
dropout does, so only runs with equally many parts (processes x accumulation) draw the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import torch
from accelerate import Accelerator

from qakit.errors import RunError
from qakit.recipe.model import Recipe, TrainSection
from qakit.training.averaging import is_due
from qakit.training.checkpoints import Progress
from qakit.training.clock import Clock, TimedKeeper
from qakit.training.events import Listener, Notice, Replanned, StepDone, StoppedEarly
from qakit.training.exchange import GradientExchange
from qakit.training.feed import Epoch, Feed
from qakit.training.guards import (
    SEARCHING,
    SMALLER_MODEL,
    Counted,
    StepGuard,
    Tally,
    is_time_to_look,
    not_learning,
    told_when_memory_ends,
)
from qakit.training.interrupts import InterruptedTrainingError, StopRequest
from qakit.training.journal import Journal
from qakit.training.optim import set_rates, step_factor
from qakit.training.plan import Pace, Plan
from qakit.training.sharding import whole
from qakit.training.step import step_gradients
from qakit.training.tricks import Tricks


class Keeper(Protocol):
    """Evaluates and saves at the moments that the loop names."""

    def checkpoint(self, progress: Progress) -> None:
        """Make it possible to resume from here."""
        ...

    def evaluate(self, progress: Progress) -> Progress:
        """Judge the weights, keep them if they are the best, and return the progress with that noted."""
        ...

    def combine_kept(self, progress: Progress) -> None:
        """At the end, put weights that were kept together where that is better."""
        ...

    def complete_checkpoint(self, progress: Progress) -> None:
        """Note in this step's checkpoint that its evaluation is done; weights and moments are what they were."""
        ...

    def save_batch(self, epoch: Epoch, rows: Any, progress: Progress) -> None:
        """Keep a batch that breaks the training, for the user to look at."""
        ...


def train(
    recipe: Recipe,
    plan: Plan,
    feed: Feed,
    *,
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimiser: Any,
    tricks: Tricks,
    keeper: Keeper,
    journal: Journal,
    progress: Progress,
    listener: Listener,
    stop_request: StopRequest,
    clock: Clock | None = None,
) -> Progress:
    """Run optimiser steps from ``progress`` to the end of ``plan``.

    Args:
        model: as the accelerator prepared it.
        optimiser: likewise prepared.
        clock: where the time is limited: shortens the plan to what fits.

    Raises:
        RunError: too many steps in a row had a loss or gradients that are not finite, or the memory does not suffice
            for a single window.
        InterruptedTrainingError: a stop was requested; the checkpoint is written.

    A checkpoint is written before every evaluation, so that whatever fails in one costs no step. The evaluation is done
    first when the training is resumed.
    """
    section, device = plan.settled(recipe.train), accelerator.device
    scaled = accelerator.scaler is not None
    guard = StepGuard(optimiser, device=device, scaled=scaled, in_a_row=progress.skipped_in_a_row)
    tally = Tally(guard, progress, device=device)
    exchange = GradientExchange.of(accelerator, model)
    pace = Pace.of(plan, progress.pace)
    if clock is not None:
        keeper = TimedKeeper(keeper, clock, journal)
        clock.begin()
    model.train()
    if progress.to_evaluate:  # the training was broken off in this evaluation
        progress = _evaluated(progress, section, pace, model=model, keeper=keeper, tally=tally)
        _stop_if_asked(stop_request, accelerator, progress)
    if _exhausted(section, progress):  # a run that had stopped early is resumed
        return progress
    batches = _batches(feed, plan, progress)
    while progress.step < pace.steps:
        epoch, rows, position = next(batches)
        step = progress.step
        factor = step_factor(section, pace.at(step, plan), total=plan.steps, warmup=plan.warmup)
        set_rates(optimiser, factor)
        begun = epoch.number + position / len(epoch.batches)
        if not pace.is_own(plan):
            begun = plan.passed(pace.at(step, plan))
        computed = step_gradients(
            recipe,
            epoch,
            rows,
            step,
            progress.accumulation or section.parts,
            attack=tricks.attack if tricks.attack is not None and tricks.attack.begins(begun) else None,
            accelerator=accelerator,
            model=model,
            optimiser=optimiser,
            listener=listener,
            exchange=exchange,
        )
        if tricks.freezing is not None:
            tricks.freezing.hold(optimiser, at=begun)
        with told_when_memory_ends(f"while the weights were updated in step {step + 1}", SMALLER_MODEL):
            norm = whole(accelerator.clip_grad_norm_(model.parameters(), section.max_grad_norm or math.inf))
            tally.add(guard.judge(computed.loss, norm), windows=len(rows), figures=computed.figures)
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        ends_epoch = position + 1 == len(epoch.batches)
        if tricks.average is not None:
            tricks.average.update(step + 1, position=pace.at(step + 1, plan), ends_epoch=ends_epoch)
        replanned = False
        if clock is not None:
            clock.stepped()
            before, pace = pace, clock.look(step + 1, pace, plan, section, waits=(step + 1) % section.log_every == 0)
            replanned = pace != before

        done = step + 1 == pace.steps
        progress = replace(
            progress,
            step=step + 1,
            epochs=round(epoch.number + (position + 1) / len(epoch.batches), 6),
            epoch=epoch.number + 1 if ends_epoch else epoch.number,
            batch=0 if ends_epoch else position + 1,
            accumulation=computed.accumulation,
            to_evaluate=done or _is_evaluated(section, pace, step + 1, epoch, ends_epoch=ends_epoch),
            pace=tuple(pace) if replanned else progress.pace,
        )
        if clock is not None and replanned:
            listener(Replanned(progress.step, pace.steps, clock.told(pace, plan)))
        logged = progress.step % section.log_every == 0 or progress.step in (1, pace.steps)
        if logged:
            counted = tally.read()
            last = progress.step if done else None
            if guard.is_beyond_hope(counted.skipped_in_a_row, allowed=section.max_skipped, done=last):
                keeper.save_batch(epoch, rows, progress)
                raise RunError(_broken(counted.skipped_in_a_row, progress.step, section))
            rate = section.learning_rate * factor
            if counted.skipped and not (scaled and counted.skipped_in_a_row <= SEARCHING):
                listener(
                    Notice(f"{counted.skipped} steps were left out: their loss or gradients were not finite numbers")
                )
            _log(counted, progress, rate, float(norm), windows=len(rows), journal=journal, listener=listener)
            if is_time_to_look(progress.step, steps=pace.steps, log_every=section.log_every):
                remark = not_learning(journal.losses())
                if remark:
                    listener(Notice(remark))
        else:
            listener(StepDone(progress.step, progress.epochs, len(rows)))

        with tally.paused():
            waits = logged or progress.to_evaluate
            saves = replanned or is_due(section.checkpoint_every, progress.step, ends_epoch=ends_epoch)
            if progress.to_evaluate or saves:
                keeper.checkpoint(tally.noted(progress))
                _stop_if_asked(stop_request, accelerator, progress, waits=waits)
            elif interrupt := _agreed(stop_request, accelerator, waits):
                keeper.checkpoint(tally.noted(progress))
                raise InterruptedTrainingError(interrupt, step=progress.step)
            if progress.to_evaluate:
                progress = _evaluated(progress, section, pace, model=model, keeper=keeper, tally=tally)
                _stop_if_asked(stop_request, accelerator, progress)
        if _exhausted(section, progress) and not done:
            listener(StoppedEarly(progress.step, f"{progress.without_gain} evaluations without a better one"))
            break
    return progress


def _is_evaluated(section: TrainSection, pace: Pace, step: int, epoch: Epoch, *, ends_epoch: bool) -> bool:
    """Whether the recipe wants an evaluation after this step, and it is one of those that are made."""
    every = section.evaluate_every
    number = epoch.number + 1 if every == "epoch" else step // int(every)
    return is_due(every, step, ends_epoch=ends_epoch) and number % pace.every == 0


def _evaluated(
    progress: Progress, section: TrainSection, pace: Pace, *, model: torch.nn.Module, keeper: Keeper, tally: Tally
) -> Progress:
    """Do the evaluation that is due at a checkpoint, at the end of the training what comes of all of them, too."""
    progress = replace(keeper.evaluate(progress), to_evaluate=False)
    model.train()
    if progress.step == pace.steps or _exhausted(section, progress):
        keeper.combine_kept(progress)
    keeper.complete_checkpoint(tally.noted(progress))
    return progress


def _log(
    counted: Counted,
    progress: Progress,
    rate: float,
    norm: float,
    *,
    windows: int,
    journal: Journal,
    listener: Listener,
) -> None:
    """Note a logged step, and tell the listener."""
    step = progress.step
    journal.metrics(
        type="train",
        step=step,
        epoch=progress.epochs,
        loss=counted.loss if counted.any_done else None,
        learning_rate=rate,
        grad_norm=norm if math.isfinite(norm) else None,
        skipped=counted.skipped,
    )
    journal.timing(type="train", step=step, windows_per_second=counted.windows_per_second)
    listener(StepDone(step, progress.epochs, windows, counted.loss, rate, counted.windows_per_second, counted.figures))


def _batches(feed: Feed, plan: Plan, progress: Progress) -> Iterator[tuple[Epoch, Any, int]]:
    """(epoch, rows, position) of the steps that come next, without end."""
    number, position, epoch = progress.epoch, progress.batch, plan.first
    while True:
        if epoch.number != number:
            epoch = feed.epoch(number, previous=epoch)
        for index in range(position, len(epoch.batches)):
            yield epoch, epoch.batches[index], index
        number, position = number + 1, 0


def _stop_if_asked(request: StopRequest, accelerator: Accelerator, progress: Progress, *, waits: bool = True) -> None:
    """End a training whose checkpoint is written, if a stop was requested."""
    if interrupt := _agreed(request, accelerator, waits):
        raise InterruptedTrainingError(interrupt, step=progress.step)


def _agreed(request: StopRequest, accelerator: Accelerator, waits: bool) -> int:
    """The signal that some process has heard, 0 for none. Several processes compare notes.

    On a GPU that means to wait for it, so there it is only done where that is done anyway (``waits``).
    """
    if accelerator.num_processes == 1:
        return request.signal
    if not waits and accelerator.device.type != "cpu":
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
