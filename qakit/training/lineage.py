"""The runs that a training builds on, and whether one of them has seen what this one is judged on.

An edge leads from a run to a training that uses its weights, its answers or its mistakes. A model that was trained on
a validation question knows its answer, and what is made of such a model carries that on; so each run keeps hashes of
all that it and the runs behind it were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qakit.data.splits import read_split
from qakit.errors import UsageError
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, open_run
from qakit.training.seen import Seen
from qakit.values import Example

WEIGHTS, LABELS, NEGATIVES = "backbone.from_run", "pseudo.from_run", "preprocess.train.hard_negatives.from_run"
HARD, FROM_RUN = "hard_negatives", "from_run"
"""How preprocessors call their setting for a run whose mistakes they use."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a training comes from."""

    seen: Seen
    """What it, and the runs behind it, show."""
    edges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the recipe's key: the run, its recipe's hash and the hashes of the files that it was trained on."""


def edges_of(recipe: Recipe) -> dict[str, Path]:
    """The runs, or files of runs, that a recipe builds on, by the recipe's key."""
    found: dict[str, Path] = {}
    source = Path(recipe.backbone.source)
    if recipe.backbone.from_run is not None:
        found[WEIGHTS] = Path(recipe.backbone.from_run)
    elif source.is_absolute() and (source.parent / "recipe.yaml").is_file():
        found["backbone.source"] = source.parent
    if recipe.pseudo is not None:
        found[LABELS] = Path(recipe.pseudo.from_run)
    negatives = recipe.preprocess.train.settings.get(HARD)
    if isinstance(negatives, Mapping) and isinstance(negatives.get(FROM_RUN), str):
        found[NEGATIVES] = Path(negatives[FROM_RUN])
    return found


def trace(recipe: Recipe, registry: Registry, train: Sequence[Example], validation: Sequence[Example]) -> Lineage:
    """What stands behind a training.

    Args:
        train: the examples that it is trained on, pseudo-labelled ones included.
        validation: those that it is judged on; empty for none.

    Raises:
        UsageError: a run behind it has seen a validation question, or the context of one that the training itself does
            not show; or with folds, nobody knows what a file's run has seen.
    """
    own = seen = Seen.of(train)
    edges: dict[str, Mapping[str, Any]] = {}
    for key, path in edges_of(recipe).items():
        run = _owner(path)
        if run is None:
            if recipe.folds is not None:
                raise UsageError(f"{key}: {path} belongs to no run, so nobody knows which questions its model has seen")
            edges[key] = {"file": str(path)}
            continue
        behind = seen_by(run, registry)
        leaked = behind.without(own).which(validation)
        if leaked:
            raise UsageError(
                f"{key}: {run.folder} was trained on {len(leaked):,} of the {len(validation):,} validation questions "
                f"or on their contexts (id {leaked[0].id}), so the figures would be too good: {_remedy(recipe, run)}"
            )
        seen = seen.also(behind)
        meta = run.read_json(run.meta_file)
        files = meta.get("data", {}).get("train", {}).get("files", {})
        edges[key] = {"run": str(run.folder.absolute()), "recipe_sha256": meta.get("recipe_sha256"), "train": files}
    return Lineage(seen, edges)


def seen_by(run: Run, registry: Registry) -> Seen:
    """What a run and those behind it were trained on: from its folder, or else from the files that its recipe names.

    Raises:
        RunError, DataError: neither can be read.
    """
    if run.seen_file.is_file():
        return Seen.read(run.seen_file)
    recipe = run.recipe()
    split = read_split(recipe, registry, "train")
    seen = Seen.of(() if split is None else split.examples)
    for path in edges_of(recipe).values():
        owner = _owner(path)
        seen = seen if owner is None else seen.also(seen_by(owner, registry))
    return seen


def _owner(path: Path) -> Run | None:
    """The run that a path is, or that a file lies in."""
    if not path.is_file():
        return open_run(path)
    return next((Run(folder) for folder in path.parents if (folder / "recipe.yaml").is_file()), None)


def _remedy(recipe: Recipe, run: Run) -> str:
    """What to do about a leak."""
    own = recipe.folds
    if own is None:
        return "name a run that was trained without them, or validate on other questions"
    section = Run(run.folder.parent).read_json(Run(run.folder.parent).folds_file)
    names = ("k", "group_by", "repeats", "seed")
    other = [name for name in names if section and section.get(name) != getattr(own, name)]
    if other:
        there = ", ".join(f"{name} {section.get(name)}" for name in other)
        here = ", ".join(f"{name} {getattr(own, name)}" for name in other)
        return f"its folds are others ({there}; here {here}); name a run of the same folds"
    return "name a run of the same folds, of which each fold takes the model that did not see its part"
