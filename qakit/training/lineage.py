"""Whether a run that a training builds on has seen what this one is judged on.

A model that was trained on a validation question knows its answer, and what is made of such a model carries that on; so
each run keeps hashes of all that it and the runs behind it were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qakit.errors import UsageError
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run
from qakit.training.ancestors import ancestor_of, seen_by
from qakit.training.edges import edges_of
from qakit.training.seen import Seen
from qakit.values import Example


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a training comes from."""

    seen: Seen
    """What it, and the runs behind it, show."""
    edges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the recipe's key: the run, its recipe's hash and the hashes of the files that it was trained on; or a folder
    of weights, or a file, alone."""


def trace(
    recipe: Recipe,
    registry: Registry,
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    pseudo: Sequence[Example] = (),
) -> Lineage:
    """What stands behind a training.

    Args:
        train: the examples of the training files.
        validation: those that it is judged on; empty for none.
        pseudo: further ones that it is trained on. They excuse nothing: whatever they show, their labels are of a run.

    Raises:
        UsageError: a run behind it has seen a validation question, or the context of one that the training itself does
            not show; or nobody knows what it has seen.
        RunError: a run behind it is not there, or damaged.
    """
    own = Seen.of(train)
    seen = own.also(Seen.of(pseudo))
    edges: dict[str, Mapping[str, Any]] = {}
    for key, path in edges_of(recipe).items():
        ancestor = ancestor_of(path)
        if ancestor is None:
            if recipe.folds is not None:
                raise UsageError(f"{key}: {path} belongs to no run, so nobody knows which questions its model has seen")
            edges[key] = {"file": str(path)}
            continue
        behind = seen_by(ancestor, registry)
        if validation:
            _check(key, ancestor.folder, behind, own, recipe, validation)
        seen = seen.also(behind)
        edges[key] = ancestor.described()
    return Lineage(seen, edges)


def _check(key: str, folder: Path, behind: Seen, own: Seen, recipe: Recipe, validation: Sequence[Example]) -> None:
    """Refuse what has seen validation questions, or may have."""
    leaked = behind.without(own).which(validation)
    if leaked:
        raise UsageError(
            f"{key}: {folder} was trained on {len(leaked):,} of the {len(validation):,} validation questions "
            f"or on their contexts (id {leaked[0].id}), so the figures would be too good: {_remedy(recipe, folder)}"
        )
    if behind.unknown:
        member = behind.unknown[0]
        who = member if member == str(folder) else f"{member}, on which {folder} builds,"
        raise UsageError(
            f"{key}: {who} does not say what it was trained on, so it may know the validation questions: name another "
            "run, or train without validation"
        )


def _remedy(recipe: Recipe, folder: Path) -> str:
    """What to do about a leak."""
    own = recipe.folds
    if own is None:
        return "name a run that was trained without them, or validate on other questions"
    section = Run(folder.parent).read_json(Run(folder.parent).folds_file)
    names = ("k", "group_by", "repeats", "seed")
    other = [name for name in names if section and section.get(name) != getattr(own, name)]
    if other:
        there = ", ".join(f"{name} {section.get(name)}" for name in other)
        here = ", ".join(f"{name} {getattr(own, name)}" for name in other)
        return f"its folds are others ({there}; here {here}); name a run of the same folds"
    return "name a run of the same folds, of which each fold takes the model that did not see its part"
