"""Beginning with a head that is trained already: that of another run, or of a published checkpoint, where it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from qakit.errors import RunError
from qakit.modeling.adapter_file import read_weights
from qakit.modeling.assemble import Assembled, build_head
from qakit.modeling.checkpoints import checkpoint_in
from qakit.modeling.folder import WEIGHTS, read_layout, refuse_graph
from qakit.modeling.plain_weights import has_the_head
from qakit.names import quoted
from qakit.protocols import GivesOtherThanSpans, TransformersNames
from qakit.recipe.model import BackboneSection, Recipe
from qakit.registry import Registry
from qakit.runs import LAYOUT, Run, classes_in, open_run
from qakit.values import TargetNames

KINDS = ("QuestionAnswering", "SequenceClassification", "MultipleChoice", "TokenClassification")
"""What transformers' classes with a head for a task are called: an encoder's name, ``For`` and one of these."""

BY_SIGMOID = "multi_label_classification"
NUMBERS = ("regression", BY_SIGMOID)
"""What transformers' configurations call heads that give numbers, as they are or through a sigmoid."""


def check_start(section: BackboneSection) -> None:
    """Make sure that ``backbone.from_run``, if there is one, is a run with whole weights.

    Raises:
        RunError: it is not.
    """
    if section.from_run is None:
        return
    run = open_run(section.from_run)
    if run.is_composed or run.is_folds:
        one = f", such as {run.fold(1).folder}" if run.is_folds else ""
        raise RunError(f"backbone.from_run: {run.folder} is made of several models: name the run of one of them{one}")
    if not run.model.is_dir():
        raise RunError(f"backbone.from_run: {run.folder} has no trained model yet")
    refuse_graph(run.model)
    if read_layout(run.model).get("weights") == "adapter":
        raise RunError(
            f"backbone.from_run: {run.folder} keeps only what it trained (train.keep: adapter); make a whole model "
            f"with `qakit export {quoted(run.folder)} --merge --output FOLDER` and name that as backbone.source"
        )


class _UnfitError(Exception):
    """Why a head cannot be taken."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """The head that the backbone's weights come with.

    Attributes:
        weights: by the names of the recipe's head.
        classes: what it tells apart, in its order; empty for other heads and for a regression.
        stored: its weights' names in the file.
    """

    weights: Mapping[str, Tensor]
    classes: tuple[str, ...]
    stored: frozenset[str] = frozenset()


def take_head(assembled: Assembled, recipe: Recipe, registry: Registry) -> tuple[Assembled, str]:
    """Fill the head with the one that the backbone's source has, where shape, classes and meaning agree.

    Classes in another order are put into ours.

    Returns:
        The model, its list of unused weights without those that were taken; and what was taken in one line, empty for
        a source without a head for any task.

    Raises:
        RunError: ``backbone.from_run`` names a run that is damaged.
    """
    section = recipe.backbone
    if section.init == "scratch":
        return assembled, ""
    source = section.from_run or section.source
    kind = "" if section.from_run else _kind(assembled.config)
    again = section.reinit_layers
    but = f", but for the top {again} of its layers, which are fresh (backbone.reinit_layers)" if again else ""
    try:
        if section.head == "fresh":
            raise _UnfitError("backbone.head is fresh")
        ready = _of_run(recipe) if section.from_run else _of_checkpoint(assembled, recipe, kind)
        _fill(assembled, ready, recipe, registry)
    except _UnfitError as why:
        left = assembled if section.from_run is None else replace(assembled, unexpected=())
        if not (section.from_run or kind):
            return left, ""
        return left, f"begins with the encoder of {source}{but}; the head is fresh: {why}"
    stored = set(assembled.unexpected) if section.from_run else ready.stored
    unused = tuple(name for name in assembled.unexpected if name not in stored)
    return replace(assembled, unexpected=unused), f"begins with the encoder and the head of {source}{but}"


def _of_run(recipe: Recipe) -> _Ready:
    """The head of ``backbone.from_run``."""
    assert recipe.backbone.from_run is not None
    run = Run(Path(recipe.backbone.from_run))
    theirs, layout = run.recipe().head, read_layout(run.model)
    if theirs.name != recipe.head.name:
        raise _UnfitError(f"that run's is {theirs.name}")
    if theirs != recipe.head:
        raise _UnfitError("its settings are others")
    weights, names = read_weights(run.model / WEIGHTS), layout.get("head_names", {})
    found = {own: weights[stored] for own, stored in names.items() if stored in weights}
    return _Ready(found, classes_in(layout))


def _of_checkpoint(assembled: Assembled, recipe: Recipe, kind: str) -> _Ready:
    """The head of a published checkpoint, or of a model folder of ours; ``kind`` is one of :data:`KINDS` or empty."""
    head, config = assembled.model.head, assembled.config
    folder = Path(str(config.name_or_path))
    if not kind and (folder / LAYOUT).is_file():
        raise _UnfitError("it is one of qakit's own; name its run as backbone.from_run")
    by_class = isinstance(head, GivesOtherThanSpans)
    if isinstance(head, TransformersNames):
        wanted = head.auto_class.partition("For")[2]
        if kind and kind != wanted:
            raise _UnfitError(f"the checkpoint's is for another task ({kind}) than {recipe.head.name}")
        if not kind and by_class:  # heads of many kinds are called "classifier"
            raise _UnfitError("the checkpoint does not say what its head is for")
    if not isinstance(head, TransformersNames) or not has_the_head(head, config):
        raise _UnfitError(f"{recipe.head.name} with its settings is built otherwise than the checkpoint's")
    names = dict(head.transformers_names)
    stored = checkpoint_in(folder).tensors(names.values())
    if set(stored) != set(names.values()):
        raise _UnfitError("the checkpoint has no weights for it")
    classes = _named_classes(config, assembled.classes) if by_class and head.gives == "labels" else ()
    several = isinstance(assembled.classes, TargetNames)
    ours, theirs = head.config_updates.get("problem_type"), getattr(config, "problem_type", None)
    if ours in NUMBERS and ours != theirs and (theirs or several or ours == BY_SIGMOID):
        raise _UnfitError(f"the checkpoint's gives no such numbers ({theirs or 'it does not say what it gives'})")
    classes = TargetNames(classes) if several else classes
    return _Ready({own: stored[name] for own, name in names.items()}, classes, frozenset(stored))


def _fill(assembled: Assembled, ready: _Ready, recipe: Recipe, registry: Registry) -> None:
    """Put the weights into the head, their classes in our order."""
    head, ours = assembled.model.head, assembled.classes
    if isinstance(ready.classes, TargetNames) != isinstance(ours, TargetNames):
        raise _UnfitError("one gives classes, and the other one numbers")
    labelled = isinstance(head, GivesOtherThanSpans) and head.gives == "labels"
    places = _places(ready.classes, ours) if labelled else []
    weights = dict(ready.weights)
    wanted = head.state_dict()
    if {own: value.shape for own, value in weights.items()} != {own: value.shape for own, value in wanted.items()}:
        raise _UnfitError("its weights have other shapes")
    if places != list(range(len(places))):
        for own in _by_class(head, recipe, assembled.config, registry, ours):
            weights[own] = weights[own][places]
    head.load_state_dict({own: value.float() for own, value in weights.items()})


def _places(theirs: tuple[str, ...], ours: tuple[str, ...]) -> list[int]:
    """Where each of our classes stands among theirs, whatever their case."""
    for named, wanted in ((theirs, ours), (tuple(map(str.casefold, theirs)), tuple(map(str.casefold, ours)))):
        if len(set(named)) == len(named) == len(wanted) and set(named) == set(wanted):
            return [named.index(name) for name in wanted]
    raise _UnfitError(f"its classes are others ({_listed(theirs)}; here: {_listed(ours)})")


def _by_class(
    head: nn.Module, recipe: Recipe, config: PretrainedConfig, registry: Registry, classes: tuple[str, ...]
) -> list[str]:
    """The parameters that have a row for each class: those that have one more where there is one class more."""
    with torch.device("meta"):
        larger = build_head(recipe, config, registry, classes=type(classes)((*classes, "one more"))).state_dict()
    return [own for own, value in head.state_dict().items() if larger[own].shape[:1] != value.shape[:1]]


def _kind(config: PretrainedConfig) -> str:
    """What the checkpoint's head is for, one of :data:`KINDS`; empty where it says nothing."""
    named = [str(name).removesuffix("Simple") for name in getattr(config, "architectures", None) or ()]
    return next((kind for kind in KINDS if any(name.endswith(f"For{kind}") for name in named)), "")


def _named_classes(config: PretrainedConfig, ours: tuple[str, ...]) -> tuple[str, ...]:
    """The checkpoint's class names by their numbers; a checkpoint that names none has ``LABEL_0``, ``LABEL_1``.

    Such classes are the numbers that stand in the data where ours are 0, 1, ...; a single one is a regression.
    """
    names = tuple(str(name) for _, name in sorted((config.id2label or {}).items()))
    if len(names) == 1:
        return ()
    numbers = tuple(map(str, range(len(names))))
    unnamed = tuple(f"LABEL_{number}" for number in numbers)
    return numbers if names == unnamed and set(ours) == set(numbers) else names


def _listed(names: tuple[str, ...], shown: int = 4) -> str:
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "") if names else "a number"
