"""All that a training needs before its first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from qakit.data.cache import default_cache
from qakit.data.checks.ceiling import low_ceiling
from qakit.data.checks.labels import refuse
from qakit.data.checks.repeats import Keys, overlap
from qakit.data.encode import encode
from qakit.data.labels import run_classes
from qakit.data.read import unlabelled
from qakit.data.splits import Split, read_split
from qakit.distributed import ALONE, Workers
from qakit.errors import DataError, UsageError
from qakit.inference.aggregation import check_head, given_by, learns_yes_no
from qakit.inference.data_rules import data_findings
from qakit.inference.evaluation import Judge
from qakit.inference.scoring import ScoringSet, number_range_of, prepare, window_runtime
from qakit.modeling.assemble import Assembled, assemble, padding_for, use_gradient_checkpointing
from qakit.modeling.device import Precision, keep_freed_memory, resolve_precision
from qakit.modeling.model import parameter_counts
from qakit.modeling.start import check_start, take_head
from qakit.protocols import LearnsAnyPlace
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.training.adversarial import Attack
from qakit.training.asked import other_questions
from qakit.training.distill import teacher_of
from qakit.training.events import Listener, Notice, Preparing, Remark
from qakit.training.feed import Feed
from qakit.training.freezing import Freezing
from qakit.training.lineage import Lineage, trace
from qakit.training.optim import check_optimiser
from qakit.training.plan import Plan
from qakit.training.pseudo import check_learnt, pseudo_labelled
from qakit.training.tricks import check_tricks
from qakit.training.validation_loss import LossSet, loss_set


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a training needs before its first step."""

    recipe: Recipe
    assembled: Assembled
    feed: Feed
    plan: Plan
    validation: ScoringSet | None
    validation_windows: LossSet | None
    """What the validation loss is measured on."""
    train_split: Split
    """With the pseudo-labelled examples at its end."""
    pseudo_split: Split | None
    """Those alone, and the file that they are from."""
    validation_split: Split | None
    test_ids: tuple[str, ...] | None
    """Of the test file, if there is one."""
    lineage: Lineage
    precision: Precision
    judge: Judge
    attack: Attack | None
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

    Several processes do this inside :meth:`~qakit.distributed.Workers.fail_together`.

    Raises:
        DataError, ModelError, PluginError: whatever is wrong, before anything is trained.
    """
    keep_freed_memory()
    cache = cache or default_cache()
    check_start(recipe.backbone)
    check_optimiser(recipe.train)
    listener(Preparing("reading data"))
    train_split = read_split(recipe, registry, "train")
    if train_split is None:
        raise DataError("the recipe names no training file: set data.train")
    validation_split = read_split(recipe, registry, "validation")
    test_split = read_split(recipe, registry, "test")  # what is wrong with it should be known before, not after
    for split in (train_split, validation_split, test_split):
        for problems in split.problems if split is not None else ():
            for line in problems.describe():
                listener(Notice(line))
    if validation_split is not None and (shared := _shared_questions(train_split, validation_split)):
        listener(Notice(shared))
    pseudo_split = None
    if recipe.pseudo is not None:
        with workers.leaders_first():
            pseudo_split = pseudo_labelled(
                recipe, registry, validation_split, device=device, cache=cache, listener=listener
            )
    pseudo = () if pseudo_split is None else pseudo_split.examples
    judging = () if validation_split is None else validation_split.examples
    lineage = trace(recipe, registry, train_split.examples, judging, pseudo=pseudo)
    listener(Preparing("building the model"))
    classes = run_classes(recipe.data.labels, (*train_split.examples, *train_split.others))
    assembled = assemble(recipe, registry, device=device, classes=classes)
    if recipe.train.gradient_checkpointing:
        use_gradient_checkpointing(assembled.model.backbone, assembled.config.model_type)
    if stays_random := _stays_random(recipe, assembled):
        listener(Notice(stays_random))
    check_head(recipe, assembled.model.head)
    precision = resolve_precision(recipe.train.precision, device, assembled.config.model_type)
    gives = given_by(assembled.model.head)
    if pseudo_split is not None:
        check_learnt(pseudo_split, gives, classes, recipe)
        train_split = replace(train_split, examples=(*train_split.examples, *pseudo))
    _check_data(recipe, registry, (train_split, validation_split, test_split), assembled.model.head, listener)
    assembled, taken = take_head(assembled, recipe, registry)
    if taken:
        listener(Remark(taken))
    with workers.leaders_first():
        encoded = encode(
            train_split.examples,
            assembled.tokenizer,
            labels=classes,
            yes_no=learns_yes_no(assembled.model.head),
            cache=cache,
            progress=lambda done, total: listener(Preparing("tokenising", done, total)),
        )
    ref, runtime = recipe.preprocess.train, window_runtime(recipe, assembled.template, training=True)
    preprocessor = registry.build("preprocessors", ref.name, ref.settings, runtime)
    judge = Judge.of(recipe, registry)
    if train_split.unlabelled:
        count = train_split.unlabelled
        listener(Notice(f"left out: {count:,} unlabelled training {'example' if count == 1 else 'examples'}"))
    decoder = assembled.model.decoder
    teacher = teacher_of(recipe, train_split.examples, encoded, decoder, gives=gives, classes=classes)
    for line in other_questions(recipe, train_split, registry):
        listener(Notice(line))
    grouped = decoder.reads == "group"
    padding = padding_for(device, assembled.model.backbone, max_length=recipe.windows.max_length)
    feed = Feed(
        encoded, assembled.template, preprocessor, recipe.train, recipe.seed, grouped, teacher=teacher, padding=padding
    )
    plan = Plan.of(recipe, feed)
    adversarial = recipe.train.adversarial
    attack = None if adversarial is None else Attack(assembled.model, adversarial)
    freezing = Freezing.of(assembled.model, recipe.train.freezing, last_begins=plan.last_begins)
    for line in freezing.describe() if freezing is not None else ():
        listener(Remark(line))
    without_window = len(encoded) - len(np.unique(plan.first.windows.example))
    if without_window:
        listener(
            Notice(
                f"{without_window:,} of {len(encoded):,} training examples give no window to learn from: "
                "their answer has no place in its context, or no window holds the whole of it"
                f"{_ambiguous(train_split)}"
            )
        )
    if encoded.others is not None and not isinstance(assembled.model.decoder, LearnsAnyPlace):
        listener(
            Notice(
                f"the head {recipe.head.name!r} cannot learn answers at any of several places "
                "(data.problems.answer_ambiguous: all): it learns the first one in each window"
            )
        )
    validation, validation_windows = None, None
    if validation_split is not None:
        with workers.leaders_first():
            validation = prepare(validation_split.examples, assembled, recipe, registry, cache=cache)
        if recipe.train.validation_loss:
            validation_windows = loss_set(replace(feed, encoded=validation.encoded, teacher=None))
    elif recipe.train.early_stopping is not None:
        raise UsageError("train.early_stopping needs validation data: set data.validation")
    if gives in ("spans", "sets"):
        ceilings = [
            low_ceiling(train_split.examples, encoded, split="training"),
            None if validation is None else _low_ceiling_of(validation),
        ]
        for line in filter(None, ceilings):
            listener(Notice(line))
    for line in check_tricks(recipe, assembled.model, plan, validated=validation is not None):
        listener(Notice(line))
    return Prepared(
        recipe=recipe,
        assembled=assembled,
        feed=feed,
        plan=plan,
        validation=validation,
        validation_windows=validation_windows,
        train_split=train_split,
        pseudo_split=pseudo_split,
        validation_split=validation_split,
        test_ids=None if test_split is None else tuple(example.id for example in test_split.examples),
        lineage=lineage,
        precision=precision,
        judge=judge,
        attack=attack,
        freezing=freezing,
    )


def _stays_random(recipe: Recipe, assembled: Assembled) -> str | None:
    """That the adapter keeps weights as they are which nothing has trained, or None."""
    counts = parameter_counts(assembled.model)["backbone"]
    if recipe.backbone.init != "scratch" or counts["trainable"] == counts["total"]:
        return None
    return (
        f"the adapter {recipe.adapter.name!r} does not train {1 - counts['trainable'] / counts['total']:.0%} of the "
        "encoder's weights, and with backbone.init: scratch these stay random: set adapter: full, or begin with "
        "pretrained weights"
    )


def _ambiguous(split: Split) -> str:
    """What can be done about answers without a place because they occur several times; empty without any."""
    count = sum(problems.counts["answer_ambiguous", "kept"] for problems in split.problems)
    hint = "set data.problems.answer_ambiguous to first or all"
    return f" ({count:,} occur several times: {hint} to learn from these)" if count else ""


def _shared_questions(train: Split, validation: Split) -> str | None:
    """That training shows validation questions, or None; only with the same contexts does a question count."""
    found = {each.name: each for each in overlap(train.examples, validation.examples, Keys())}
    shared, what = found.get("shared_record"), "questions"
    if shared is None:
        shared, what = found.get("shared_text"), "texts"
    if shared is None:
        return None
    more = ", ..." if shared.count > len(shared.examples) else ""
    return (
        f"{shared.count:,} of {len(validation.examples):,} validation {what} are among the training {what}, too "
        f"({', '.join(shared.examples)}{more}): the figures will be too good"
    )


def _check_data(
    recipe: Recipe, registry: Registry, read: Sequence[Split | None], head: object, listener: Listener
) -> None:
    """Refuse data that the head cannot learn from, be judged by or answer; tell what else should be known of it.

    Raises:
        DataError: with every reason.
    """
    splits = {split.name: split for split in read if split is not None}
    others = splits["train"].others
    examples = {name: split.examples for name, split in splits.items()}
    why = {name: said for name, split in splits.items() if (said := unlabelled(split.problems))}
    found = data_findings(
        recipe,
        registry,
        examples,
        gives=given_by(head),
        others=others,
        why=why,
        number_range=number_range_of(head),
        yes_no=learns_yes_no(head),
    )
    refuse(found, {name: split.files[0] for name, split in splits.items()})
    for finding in chain.from_iterable(found.values()):
        listener(Notice(str(finding)))


def _low_ceiling_of(validation: ScoringSet) -> str | None:
    return low_ceiling(
        validation.examples,
        validation.encoded,
        validation.windows,
        split="validation",
        max_answer_length=validation.predict.max_answer_length,
    )
