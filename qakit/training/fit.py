"""A whole training: read, prepare, assemble, loop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from qakit.data.cache import default_cache
from qakit.data.encode import encode
from qakit.data.labels import classes_of
from qakit.data.splits import Split, read_split
from qakit.errors import DataError, UsageError
from qakit.inference.aggregation import check_head
from qakit.inference.evaluation import Judge, check_selection
from qakit.inference.output import inputs_of
from qakit.inference.scoring import ScoringSet, given_by, prepare, window_runtime
from qakit.inference.workers import ALONE, Workers
from qakit.modeling.assemble import Assembled, assemble
from qakit.modeling.device import Precision, keep_freed_memory, pick_device, resolve_precision
from qakit.modeling.model import parameter_counts, parameters_by_module
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, environment, write_json
from qakit.training.checkpoints import Progress, latest_checkpoint, load_checkpoint
from qakit.training.events import Listener, Notice, Preparing, Started
from qakit.training.feed import Feed
from qakit.training.interrupts import stop_requests
from qakit.training.journal import Journal
from qakit.training.keeper import RunKeeper
from qakit.training.loop import Plan, train
from qakit.training.sharding import Trainee, check_launch, gather, is_sharded, shard


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a training ended. ``before`` is empty unless the recipe asks for an evaluation of the untrained model."""

    progress: Progress
    parameters: Mapping[str, Mapping[str, int]]
    is_main_process: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a training needs before its first step; ``qakit train --dry-run`` stops here."""

    recipe: Recipe
    assembled: Assembled
    feed: Feed
    plan: Plan
    validation: ScoringSet | None
    train_split: Split
    validation_split: Split | None
    precision: Precision
    judge: Judge


def prepare_training(
    recipe: Recipe,
    registry: Registry,
    *,
    device: torch.device,
    listener: Listener,
    cache: Path | None = None,
    workers: Workers = ALONE,
) -> Prepared:
    """Read the data, build the model, tokenise and cut windows. Nothing is written but the token cache.

    Several processes do this inside :meth:`~qakit.inference.workers.Workers.one_fate`.

    Raises:
        DataError, ModelError, PluginError: whatever is wrong, before anything is trained.
    """
    keep_freed_memory()
    cache = cache or default_cache()
    listener(Preparing("reading data"))
    train_split = read_split(recipe, registry, "train")
    if train_split is None:
        raise DataError("the recipe names no training file: set data.train")
    validation_split = read_split(recipe, registry, "validation")
    for split in (train_split, validation_split):
        for problems in split.problems if split is not None else ():
            for line in problems.describe():
                listener(Notice(line))
    listener(Preparing("building the model"))
    classes = tuple(recipe.data.labels or classes_of(train_split.examples))
    assembled = assemble(recipe, registry, device=device, classes=classes)
    check_head(recipe, assembled.model.head)
    with workers.leaders_first():
        encoded = encode(
            train_split.examples,
            assembled.tokenizer,
            labels=classes,
            cache=cache,
            progress=lambda done, total: listener(Preparing("tokenising", done, total)),
        )
    ref = recipe.preprocess.train
    runtime = window_runtime(recipe, assembled.template, training=True)
    preprocessor = registry.build("preprocessors", ref.name, ref.settings, runtime)
    judge = Judge.of(recipe, registry)
    if train_split.unlabelled:
        listener(Notice(f"{train_split.unlabelled:,} unlabelled training examples are left out"))
    read_split(recipe, registry, "test")  # what is wrong with it should be known before the training, not after
    grouped = assembled.model.decoder.reads == "group"
    feed = Feed(encoded, assembled.template, preprocessor, recipe.train, recipe.seed, grouped)
    plan = Plan.of(recipe, feed)
    without_window = len(encoded) - len(np.unique(plan.first.windows.example))
    if without_window:
        listener(
            Notice(
                f"{without_window:,} of {len(encoded):,} training examples give no window to learn from: "
                "their answer has no place in its context, or no window holds the whole of it"
            )
        )
    validation = None
    if validation_split is not None:
        with workers.leaders_first():
            validation = prepare(validation_split.examples, assembled, recipe, registry, cache=cache)
        if not validation.labelled:
            raise DataError(
                "the validation split has examples without an answer or a label", path=validation_split.files[0]
            )
        check_selection(judge, validation_split.examples, gives=given_by(assembled.model.head))
    elif recipe.train.early_stopping is not None:
        raise UsageError("train.early_stopping needs validation data: set data.validation")
    return Prepared(
        recipe=recipe,
        assembled=assembled,
        feed=feed,
        plan=plan,
        validation=validation,
        train_split=train_split,
        validation_split=validation_split,
        precision=resolve_precision(recipe.train.precision, device),
        judge=judge,
    )


def accelerator_for(recipe: Recipe) -> Accelerator:
    """Accelerate's view of the machine: one process, or those that `torchrun` or `accelerate launch` started.

    Raises:
        UsageError: the launcher's configuration asks for what the loop cannot do.
    """
    device = pick_device()
    precision = resolve_precision(recipe.train.precision, device)
    # Without `cpu=True` accelerate takes several CPU processes for as many single ones.
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=device.type == "cpu",
        # Accumulation is the loop's own; a number left in the environment would divide the gradients once more.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    check_launch(accelerator, recipe)
    return accelerator


def workers_of(accelerator: Accelerator) -> Workers:
    """The accelerator's processes."""
    return Workers(accelerator.process_index, accelerator.num_processes, accelerator.local_process_index)


def part_ways(accelerator: Accelerator) -> None:
    """End the work in common: after this, each process goes on alone."""
    if accelerator.num_processes > 1:
        accelerator.wait_for_everyone()
        accelerator.state.destroy_process_group()


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
    trainee = Trainee.of(assembled, recipe)
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
        model, optimiser, trained = shard(trainee, accelerator, recipe)
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
            _warn_of_changed_data(run, prepared, listener)
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
            keeper=keeper,
            journal=journal,
            progress=progress,
            listener=listener,
            stop_request=stop_request,
        )
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


def describe(
    prepared: Prepared, registry: Registry, counts: Mapping[str, Mapping[str, int]], digest: str
) -> dict[str, Any]:
    """A run's meta.json."""
    splits = [split for split in (prepared.train_split, prepared.validation_split) if split is not None]
    return environment() | {
        "recipe_sha256": digest,
        "seed": prepared.recipe.seed,
        "trust_remote_code": prepared.recipe.backbone.trust_remote_code,
        "plugins": plugins_of(prepared.recipe, registry),
        "data": {
            split.name: {
                "files": inputs_of(split.files),
                "examples": len(split.examples),
                "problems": {
                    f"{kind}, {outcome}": count
                    for problems in split.problems
                    for (kind, outcome), count in sorted(problems.counts.items())
                },
            }
            for split in splits
        },
        "parameters": counts,
        "modules": parameters_by_module(prepared.assembled.model),
        "steps": prepared.plan.steps,
        "windows": len(prepared.plan.first.windows),
        "precision": prepared.precision,
        "unused_weights": list(prepared.assembled.unexpected),
    }


def plugins_of(recipe: Recipe, registry: Registry) -> dict[str, str]:
    """Which plugin, of which version, stands behind each block of the recipe."""
    blocks = {
        "data.reader": ("readers", recipe.data.reader),
        "preprocess.train": ("preprocessors", recipe.preprocess.train),
        "preprocess.predict": ("preprocessors", recipe.preprocess.predict),
        "adapter": ("adapters", recipe.adapter),
        "head": ("heads", recipe.head),
        "metric": ("metrics", recipe.metric),
        "writer": ("writers", recipe.writer),
    } | {f"postprocess.{index}": ("postprocessors", ref) for index, ref in enumerate(recipe.postprocess)}
    found = {place: (ref.name, registry.get(kind, ref.name)) for place, (kind, ref) in blocks.items()}  # type: ignore[arg-type]
    return {place: f"{name} of {entry.plugin} {entry.version}" for place, (name, entry) in found.items()}
