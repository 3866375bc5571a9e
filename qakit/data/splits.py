"""The splits of a recipe, read and selected: files -> examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from qakit.data.folds import Assignment, assign
from qakit.data.read import read_examples, unlabelled
from qakit.data.sources import local_files
from qakit.errors import DataError, UsageError
from qakit.problems import Problems
from qakit.protocols import NoRuntime, Reader
from qakit.randomness import permutation
from qakit.recipe.model import HubSplit, Recipe
from qakit.registry import Registry
from qakit.values import Example

SplitName = Literal["train", "validation", "test"]

JUDGES = 0
"""The seed of `data.validation_limit`: whatever a run's own seed is, all are judged by the same questions."""


@dataclass(frozen=True, slots=True)
class Split:
    """The examples of one split, and what was wrong with its files."""

    name: str
    files: tuple[Path, ...]
    examples: tuple[Example, ...]
    problems: tuple[Problems, ...]
    unlabelled: int = 0
    """Examples of the training files that were left out because they have neither answers nor a label."""
    others: tuple[Example, ...] = ()
    """Of a fold: the other labelled examples of the training files. The classes are theirs, too."""


def build_reader(recipe: Recipe, registry: Registry) -> Reader:
    reader: Reader = registry.build("readers", recipe.data.reader.name, recipe.data.reader.settings, NoRuntime())
    return reader


def read_files(
    recipe: Recipe, registry: Registry, files: Sequence[Path], *, name: str = "input", predicted_only: bool = False
) -> Split:
    """All examples of ``files``, as the recipe's reader and problem policies say.

    Args:
        predicted_only: the files are answered, neither trained on nor scored: whatever labels they have are not read,
            and no record is left out.

    Raises:
        DataError: a file cannot be read, or a problem's policy is ``error``.
    """
    reader, policies = build_reader(recipe, registry), recipe.data.problems
    result = read_examples(reader, list(files), policies=policies, predicted_only=predicted_only)
    return Split(name, tuple(files), result.examples, result.problems)


CONTEXTS = "contexts"
"""What readers call their setting for a file of contexts that lies beside the data file."""


def contexts_setting(recipe: Recipe) -> str | None:
    """The file of contexts that a checked recipe's reader looks for beside each data file; None for readers without."""
    file = recipe.data.reader.settings.get(CONTEXTS)
    return file if isinstance(file, str) else None


def with_contexts(recipe: Recipe, file: Path) -> Recipe:
    """The recipe with its reader told where the contexts are.

    Raises:
        UsageError: the reader reads no such file.
    """
    reader = recipe.data.reader
    if contexts_setting(recipe) is None:
        raise UsageError(f"the reader {reader.name!r} has its contexts in the data file; there is no file for them")
    changed = reader.model_copy(update={CONTEXTS: str(file.absolute())})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"reader": changed})})


QUESTIONS = "questions"
"""What writers call their setting for the file that is predicted."""


def questions_setting(recipe: Recipe) -> str | None:
    """The file that a checked recipe's writer reads beside the predictions; None for writers without."""
    file = recipe.writer.settings.get(QUESTIONS)
    return file if isinstance(file, str) else None


def with_questions(recipe: Recipe, file: str) -> Recipe:
    """The recipe with its writer told which file is predicted, where it reads that."""
    if questions_setting(recipe) is None:
        return recipe
    return recipe.model_copy(update={"writer": recipe.writer.model_copy(update={QUESTIONS: file})})


def split_sources(recipe: Recipe, name: SplitName) -> tuple[str | HubSplit, ...]:
    """What a recipe names for a split; empty if nothing. Folds validate on parts of the training files."""
    value = getattr(recipe.data, _named(recipe, name))
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


def split_files(recipe: Recipe, name: SplitName) -> tuple[Path, ...]:
    """The files of a split, those of the hub fetched; empty if the recipe names none.

    Raises:
        HubError: data on the hub is not to be had.
        DataError: as :func:`qakit.data.sources.local_files`.
    """
    return tuple(
        file
        for source in split_sources(recipe, name)
        for file in local_files(source, named=f"data.{_named(recipe, name)}", beside=contexts_setting(recipe))
    )


def _named(recipe: Recipe, name: SplitName) -> SplitName:
    return "train" if recipe.folds is not None and name == "validation" else name


def read_split(recipe: Recipe, registry: Registry, name: SplitName) -> Split | None:
    """A split with the recipe's selection applied; None if the recipe has no such split.

    The test file is only predicted: its labels are not read.

    Raises:
        DataError: a file cannot be read, or nothing is left to train or evaluate on.
    """
    files = split_files(recipe, name)
    if not files:
        return None
    if recipe.folds is not None and name != "test":
        split, assignment = read_folds(recipe, registry)
        if recipe.folds.fold is not None:
            split = part_of(recipe, split, assignment, name, fold=recipe.folds.fold)
    else:
        split = _selected(recipe, read_files(recipe, registry, files, name=name, predicted_only=name == "test"), name)
    if not split.examples:
        wanted = "no labelled example to train on" if name == "train" else "no example"
        why = unlabelled(split.problems) if name == "train" else ""
        raise DataError(f"the {name} split holds {wanted}{f': {why}' if why else ''}", path=files[0])
    return split


def _selected(recipe: Recipe, split: Split, name: SplitName) -> Split:
    examples, unlabelled = split.examples, 0
    if name == "train":
        examples = tuple(example for example in examples if example.labelled)
        unlabelled = len(split.examples) - len(examples)
        if recipe.data.answerable_only:
            examples = tuple(example for example in examples if example.answers)
        examples = sample(examples, recipe.data.train_limit, seed=recipe.seed, stream="train limit")
    elif name == "validation":
        examples = sample(examples, recipe.data.validation_limit, seed=JUDGES, stream="validation limit")
    return Split(name, split.files, examples, split.problems, unlabelled)


def read_folds(recipe: Recipe, registry: Registry) -> tuple[Split, Assignment]:
    """All labelled examples of the training files, and the fold of each.

    ``data.train_limit`` is for all folds together, and its sample is the folds' own: ``folds.seed`` draws it.

    Raises:
        DataError: a file cannot be read, or the examples cannot be split.
    """
    assert recipe.folds is not None
    files = split_files(recipe, "train")
    if not files:
        raise DataError("the recipe names no training file to split into folds: set data.train")
    read = read_files(recipe, registry, files, name="train")
    labelled = tuple(example for example in read.examples if example.labelled)
    examples = sample(labelled, recipe.data.train_limit, seed=recipe.folds.seed, stream="train limit")
    if not examples:
        why = unlabelled(read.problems)
        raise DataError(f"holds no labelled example to split into folds{f': {why}' if why else ''}", path=files[0])
    taken = {example.id for example in examples}
    others = tuple(example for example in labelled if example.id not in taken)
    whole = Split("train", files, examples, read.problems, len(read.examples) - len(labelled), others)
    return whole, assign(examples, recipe.folds, path=files[0])


def part_of(
    recipe: Recipe, whole: Split, assignment: Assignment, name: Literal["train", "validation"], *, fold: int
) -> Split:
    """The examples of a fold (validation) or of all others (train); ``data.answerable_only`` is for the latter."""
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example, part in zip(whole.examples, assignment.fold, strict=True):
        is_own = (part == fold) == (name == "validation")
        if name == "train" and recipe.data.answerable_only:
            is_own = is_own and bool(example.answers)
        sides[is_own].append(example)
    others, own = sides
    return replace(whole, name=name, examples=tuple(own), others=(*whole.others, *others))


def sample(examples: tuple[Example, ...], limit: int | None, *, seed: int, stream: str) -> tuple[Example, ...]:
    """At most ``limit`` examples drawn by the seed, in their original order."""
    if limit is None or limit >= len(examples):
        return examples
    return tuple(examples[i] for i in sorted(permutation(len(examples), seed, 0, stream=stream)[:limit].tolist()))
