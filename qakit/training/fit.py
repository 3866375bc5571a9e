"""A training, from a prepared model and data into a run folder, and what meta.json says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from qakit.data.splits import SplitName, split_sources
from qakit.files import write_json
from qakit.inference.inputs import Inputs
from qakit.modeling.adapter_file import origin_of
from qakit.modeling.attention import attention_of
from qakit.modeling.model import parameter_counts, parameters_by_module
from qakit.recipe.hub_data import is_on_hub
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, environment
from qakit.runs.plugins import plugins_of, settings_versions
from qakit.training.checkpoints import Progress, Resuming
from qakit.training.clock import Clock
from qakit.training.events import Listener, Notice, Remark, Started
from qakit.training.exchange import share_first
from qakit.training.fingerprints import Seen
from qakit.training.interrupts import StopRequest, stop_requests, stopping
from qakit.training.journal import Journal
from qakit.training.keeper import RunKeeper
from qakit.training.launch import prepared_for, workers_of
from qakit.training.lineage import is_another
from qakit.training.loop import train
from qakit.training.plan import Pace
from qakit.training.prepare import Prepared
from qakit.training.sharding import Trainee, is_sharded, shard
from qakit.training.soup import forget_after
from qakit.training.tricks import Tricks


def fit(
    prepared: Prepared,
    run: Run,
    registry: Registry,
    *,
    accelerator: Accelerator,
    resume: bool,
    listener: Listener,
    clock: Clock | None = None,
    parts: int | None = None,
) -> Progress:
    """Train into a run folder; with ``resume`` from its last whole checkpoint. The progress when all is done.

    Args:
        clock: where the time is limited; the first process has measured.
        parts: into how many each process cuts its share of a step, from the first one on; None for as many as the
            recipe says. A checkpoint knows its own.

    Raises:
        QakitError: see :func:`qakit.training.loop.train` and :meth:`qakit.training.checkpoints.Resuming.restore`.
    """
    recipe, main, workers = prepared.recipe, accelerator.is_main_process, workers_of(accelerator)
    assembled, counts = prepared.assembled, parameter_counts(prepared.assembled.model)
    stop_request = StopRequest()
    listener = stopping(listener, stop_request)
    digest, journal = recipe_hash(recipe), Journal(run, main, None if clock is None else clock.elapsed)
    share_first(assembled.model)
    trainee = Trainee.of(assembled, recipe, steps=prepared.plan.steps)
    with workers.fail_together():
        frozen = _frozen(prepared) if main else None
    resuming = Resuming(run, digest, recipe.train.keep_checkpoints, accelerator, workers, journal, listener, frozen)
    progress = resuming.restore(assembled.model, trainee.optimiser, trainee.average, resume=resume)
    if not progress.accumulation:
        progress = replace(progress, accumulation=parts or recipe.train.parts)
    pace = Pace.of(prepared.plan, progress.pace)
    if clock is None and pace.leaves_out(prepared.plan):
        listener(
            Notice(
                f"an earlier command's --max-hours has shortened this training to {pace.steps:,} of "
                f"{prepared.plan.steps:,} steps, and so it stays; with new hours (--max-hours) it takes as many as fit"
            )
        )
    encoder = assembled.model.backbone
    if recipe.train.compile:
        encoder.compile()
    if is_sharded(accelerator):
        model, optimiser, trained = shard(trainee, accelerator, recipe, steps=prepared.plan.steps)
    else:
        model, optimiser = prepared_for(accelerator, assembled.model, trainee.optimiser)
        trained = trainee
    keeper = RunKeeper(
        prepared=prepared,
        trainee=trainee,
        trained=trained,
        resuming=resuming,
        validation_inputs=Inputs() if prepared.validation_split is None else Inputs.of(prepared.validation_split),
    )
    with workers.fail_together():
        if main:
            forget_after(run.soup, progress.step)
            _warn_of_changed_data(run, prepared, listener)
            seen = prepared.lineage.seen
            if progress.step and run.seen_file.is_file():  # its files may have changed since; the weights have not
                seen = seen.also(Seen.read(run.seen_file))
            seen.write(run.seen_file)
            before = run.read_json(run.meta_file)
            more = {
                "processes": workers.size,
                "sharded": is_sharded(accelerator),
                "accumulation": progress.accumulation,
                # Of what recipe.yaml holds, which stays as it is when a run is resumed with a later plugin.
                "settings": before.get("settings", {}) if before else settings_versions(recipe, registry),
            }
            write_json(run.meta_file, describe(prepared, registry, counts, digest) | more)
    if recipe.train.accumulation == "auto":
        listener(Remark(f"each step is computed in {progress.accumulation} parts (train.accumulation: auto)"))
    listener(started(prepared, counts, accelerator, progress))
    if recipe.train.evaluate_before and progress.step == 0:
        keeper.evaluate_untrained(progress)
    with stop_requests(stop_request):
        return train(
            recipe,
            prepared.plan,
            prepared.feed,
            accelerator=accelerator,
            model=model,
            optimiser=optimiser,
            tricks=Tricks(trained.average, prepared.attack, prepared.freezing),
            keeper=keeper,
            journal=journal,
            progress=progress,
            listener=listener,
            stop_request=stop_request,
            clock=clock,
        )


def started(
    prepared: Prepared, counts: Mapping[str, Mapping[str, int]], accelerator: Accelerator, progress: Progress
) -> Started:
    """What the training is, for whoever watches."""
    return Started(
        steps=Pace.of(prepared.plan, progress.pace).steps,
        first_step=progress.step,
        train_examples=len(prepared.train_split.examples),
        train_windows=len(prepared.plan.first.windows),
        validation_examples=0 if prepared.validation is None else len(prepared.validation.examples),
        parameters=counts,
        device=str(accelerator.device),
        precision=prepared.precision,
        attention=attention_of(prepared.assembled.config),
        unused_weights=prepared.assembled.unexpected,
    )


def _frozen(prepared: Prepared) -> Mapping[str, Any] | None:
    """Where the weights come from that no checkpoint holds; None where all are trained, or they are from scratch."""
    assembled = prepared.assembled
    if all(each.requires_grad for each in assembled.model.backbone.parameters()):
        return None
    return origin_of(prepared.recipe.backbone, Path(str(assembled.config.name_or_path)))


def _warn_of_changed_data(run: Run, prepared: Prepared, listener: Listener) -> None:
    """A resumed run should see the files that it began with, and build on the same runs."""
    meta = run.read_json(run.meta_file)
    behind = meta.get("builds_on", {})
    for split in (prepared.train_split, prepared.pseudo_split, prepared.validation_split):
        if split is None or not (then := Inputs.trained_on(run, split.name)):
            continue
        if next(then.differing(Inputs.of(split)), None) is not None:
            listener(Notice(f"the {split.name} files are not those that this run began with"))
    for key, edge in prepared.lineage.edges.items():
        if key in behind and is_another(behind[key], edge):
            listener(Notice(f"{key} is now of another training than the one that this run began with"))


def describe(
    prepared: Prepared, registry: Registry, counts: Mapping[str, Mapping[str, int]], digest: str
) -> dict[str, Any]:
    """A run's meta.json."""
    pseudo = prepared.pseudo_split
    splits = [split for split in (prepared.train_split, pseudo, prepared.validation_split) if split is not None]
    counted = {split.name: len(split.examples) for split in splits}
    if pseudo is not None:  # each split with its own
        counted[prepared.train_split.name] -= len(pseudo.examples)
    return environment() | {
        "recipe_sha256": digest,
        "seed": prepared.recipe.seed,
        "trust_remote_code": prepared.recipe.backbone.trust_remote_code,
        "plugins": plugins_of(prepared.recipe, registry),
        "data": {
            split.name: {
                **Inputs.of(split).as_json("files"),
                **_from_hub(prepared.recipe, split.name),
                "examples": counted[split.name],
                "problems": {
                    f"{kind}, {outcome}": count
                    for problems in split.problems
                    for (kind, outcome), count in sorted(problems.counts.items())
                },
            }
            for split in splits
        },
        "builds_on": dict(prepared.lineage.edges),
        "parameters": counts,
        "modules": parameters_by_module(prepared.assembled.model),
        "steps": prepared.plan.steps,
        "windows": len(prepared.plan.first.windows),
        "precision": prepared.precision,
        "unused_weights": list(prepared.assembled.unexpected),
        "fresh_weights": list(prepared.assembled.fresh),
    }


def _from_hub(recipe: Recipe, name: str) -> dict[str, list[str]]:
    """Which datasets on the hub, at which commits, the files of a split come from; empty for local ones."""
    named: dict[str, SplitName] = {"train": "train", "validation": "validation"}  # pseudo-labels' is another block's
    sources = (
        [str(source) for source in split_sources(recipe, named[name]) if is_on_hub(source)] if name in named else []
    )
    return {"hub": sources} if sources else {}
