"""A training, from a prepared model and data into a run folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from accelerate import Accelerator

from qakit.inference.output import inputs_of
from qakit.modeling.model import parameter_counts
from qakit.recipe.load import recipe_hash
from qakit.registry import Registry
from qakit.runs import Run, write_json
from qakit.training.checkpoints import Progress, latest_checkpoint, load_checkpoint
from qakit.training.events import Listener, Notice, Preparing, Started
from qakit.training.interrupts import stop_requests
from qakit.training.journal import Journal
from qakit.training.keeper import RunKeeper
from qakit.training.launch import workers_of
from qakit.training.loop import train
from qakit.training.meta import describe
from qakit.training.prepare import Prepared
from qakit.training.sharding import Trainee, gather, is_sharded, shard
from qakit.training.soup import forget_after


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a training ended. ``before`` is empty unless the recipe asks for an evaluation of the untrained model."""

    progress: Progress
    parameters: Mapping[str, Mapping[str, int]]
    is_main_process: bool


def fit(
    prepared: Prepared, run: Run, registry: Registry, *, accelerator: Accelerator, resume: bool, listener: Listener
) -> FitResult:
    """Train into a run folder; with ``resume`` from its last whole checkpoint.

    Raises:
        QakitError: see :func:`qakit.training.loop.train` and :func:`qakit.training.checkpoints.load_checkpoint`.
    """
    recipe, main, workers = prepared.recipe, accelerator.is_main_process, workers_of(accelerator)
    assembled, counts = prepared.assembled, parameter_counts(prepared.assembled.model)
    digest = recipe_hash(recipe)
    trainee = Trainee.of(assembled, recipe, steps=prepared.plan.steps)
    progress = Progress()
    scaler_state: dict[str, Any] | None = None
    checkpoint = None
    with workers.one_fate():
        if resume and main:
            checkpoint = latest_checkpoint(run.checkpoints, warn=lambda text: listener(Notice(text)))
    checkpoint = workers.from_first(checkpoint)
    if checkpoint is not None:
        with workers.one_fate():
            progress, scaler_state = load_checkpoint(
                checkpoint,
                model=assembled.model,
                optimiser=trainee.optimiser,
                average=trainee.average,
                recipe_hash=digest,
            )
        listener(Preparing(f"resuming from {checkpoint.name}"))
    elif resume:
        listener(Preparing("there is no whole checkpoint: starting from the beginning"))

    encoder = assembled.model.backbone
    if recipe.train.compile:
        encoder.compile()
    if is_sharded(accelerator):
        model, optimiser, trained = shard(trainee, accelerator, recipe, steps=prepared.plan.steps)
    else:
        model, optimiser = accelerator.prepare(assembled.model, trainee.optimiser)
        trained = trainee
    if scaler_state is not None and accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(scaler_state)
    journal = Journal(run, writes=main)
    keeper = RunKeeper(
        recipe=recipe,
        recipe_hash=digest,
        run=run,
        trainee=trainee,
        refresh=partial(gather, trained, trainee) if trained is not trainee else _nothing_to_gather,
        accelerator=accelerator,
        workers=workers,
        precision=prepared.precision,
        validation=prepared.validation,
        validation_inputs={} if prepared.validation_split is None else inputs_of(prepared.validation_split.files),
        examples=prepared.train_split.examples,
        judge=prepared.judge,
        journal=journal,
        listener=listener,
    )
    with workers.one_fate():
        journal.cut(progress.metrics_bytes)
        if main:
            forget_after(run.soup, progress.step)
            _warn_of_changed_data(run, prepared, listener)
            prepared.lineage.seen.write(run.seen_file)
            processes = {"processes": workers.size, "sharded": is_sharded(accelerator)}
            write_json(run.meta_file, describe(prepared, registry, counts, digest) | processes)
    listener(started(prepared, counts, accelerator, progress))
    if recipe.train.evaluate_before and progress.step == 0 and prepared.validation is not None:
        began = time.perf_counter()
        evaluation = keeper.judge_now()
        keeper.report(progress, evaluation, epoch=0.0, best=False, seconds=time.perf_counter() - began)
    with stop_requests() as stop_request:
        progress = train(
            recipe,
            prepared.plan,
            prepared.feed,
            accelerator=accelerator,
            model=model,
            optimiser=optimiser,
            average=trained.average,
            freezing=prepared.freezing,
            keeper=keeper,
            journal=journal,
            progress=progress,
            listener=listener,
            stop_request=stop_request,
        )
    with workers.one_fate():
        if main:  # the last checkpoint lies behind it: nothing will ask for it again
            shutil.rmtree(run.soup, ignore_errors=True)
    return FitResult(progress, counts, main)


def _nothing_to_gather(*, moments: bool) -> None:
    """What is trained is the trainee itself."""


def started(
    prepared: Prepared, counts: Mapping[str, Mapping[str, int]], accelerator: Accelerator, progress: Progress
) -> Started:
    """What the training is, for whoever watches."""
    return Started(
        steps=prepared.plan.steps,
        first_step=progress.step,
        train_examples=len(prepared.train_split.examples),
        train_windows=len(prepared.plan.first.windows),
        validation_examples=0 if prepared.validation is None else len(prepared.validation.examples),
        parameters=counts,
        device=str(accelerator.device),
        precision=prepared.precision,
        attention=str(prepared.assembled.config._attn_implementation),
        unused_weights=prepared.assembled.unexpected,
    )


def _warn_of_changed_data(run: Run, prepared: Prepared, listener: Listener) -> None:
    """A resumed run should see the files that it began with."""
    before = run.read_json(run.meta_file).get("data", {})
    for split in (prepared.train_split, prepared.validation_split):
        if split is not None and split.name in before and before[split.name]["files"] != inputs_of(split.files):
            listener(Notice(f"the {split.name} files are not those that this run began with"))
