"""All that a training needs before its first step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from qakit.data.cache import default_cache
from qakit.data.encode import encode
from qakit.data.labels import classes_of
from qakit.data.splits import Split, read_split
from qakit.errors import DataError, UsageError
from qakit.inference.aggregation import check_head
from qakit.inference.evaluation import Judge, check_selection
from qakit.inference.scoring import ScoringSet, given_by, prepare, window_runtime
from qakit.inference.workers import ALONE, Workers
from qakit.modeling.assemble import Assembled, assemble
from qakit.modeling.device import Precision, keep_freed_memory, resolve_precision
from qakit.modeling.start import check_start, take_head
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.training.cutout import token_cutout
from qakit.training.events import Listener, Notice, Preparing
from qakit.training.feed import Feed
from qakit.training.freezing import Freezing
from qakit.training.lineage import Lineage, trace
from qakit.training.loop import Plan
from qakit.training.pseudo import with_pseudo_labels
from qakit.training.tricks import check_tricks


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
    lineage: Lineage
    precision: Precision
    judge: Judge
    freezing: Freezing | None


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
    check_start(recipe.backbone)
    listener(Preparing("reading data"))
    train_split = read_split(recipe, registry, "train")
    if train_split is None:
        raise DataError("the recipe names no training file: set data.train")
    validation_split = read_split(recipe, registry, "validation")
    for split in (train_split, validation_split):
        for problems in split.problems if split is not None else ():
            for line in problems.describe():
                listener(Notice(line))
    if recipe.pseudo is not None:
        with workers.leaders_first():
            train_split = with_pseudo_labels(
                recipe, registry, train_split, validation_split, device=device, cache=cache, listener=listener
            )
    lineage = trace(
        recipe, registry, train_split.examples, validation_split.examples if validation_split is not None else ()
    )
    listener(Preparing("building the model"))
    classes = tuple(recipe.data.labels or classes_of(train_split.examples))
    assembled = assemble(recipe, registry, device=device, classes=classes)
    check_head(recipe, assembled.model.head)
    if recipe.backbone.from_run is not None:
        listener(Notice(take_head(assembled, recipe)))
    cutout = token_cutout(recipe.train.token_cutout, assembled.tokenizer, seed=recipe.seed)
    freezing = Freezing.of(assembled.model, recipe.train.freezing, epochs=recipe.train.epochs)
    for line in freezing.describe() if freezing is not None else ():
        listener(Notice(line))
    with workers.leaders_first():
        encoded = encode(
            train_split.examples,
            assembled.tokenizer,
            labels=classes,
            cache=cache,
            progress=lambda done, total: listener(Preparing("tokenising", done, total)),
        )
    ref, progressive = recipe.preprocess.train, recipe.train.progressive
    runtime = window_runtime(recipe, assembled.template, training=True)
    preprocessors = [
        registry.build("preprocessors", ref.name, ref.settings, replace(runtime, max_length=length))
        for length in ([runtime.max_length] if progressive is None else progressive.lengths)
    ]
    judge = Judge.of(recipe, registry)
    if train_split.unlabelled:
        listener(Notice(f"{train_split.unlabelled:,} unlabelled training examples are left out"))
    read_split(recipe, registry, "test")  # what is wrong with it should be known before the training, not after
    grouped = assembled.model.decoder.reads == "group"
    feed = Feed(encoded, assembled.template, preprocessors, recipe.train, recipe.seed, grouped, cutout)
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
    for line in check_tricks(
        recipe,
        assembled.model,
        steps=plan.steps,
        steps_per_epoch=len(plan.first.batches),
        validated=validation is not None,
    ):
        listener(Notice(line))
    return Prepared(
        recipe=recipe,
        assembled=assembled,
        feed=feed,
        plan=plan,
        validation=validation,
        train_split=train_split,
        validation_split=validation_split,
        lineage=lineage,
        precision=resolve_precision(recipe.train.precision, device),
        judge=judge,
        freezing=freezing,
    )
