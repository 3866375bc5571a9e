"""Whether a run that a training builds on has seen what this one is judged on.

A model that was trained on a validation question knows its answer, and what is made of such a model carries that on; so
each run keeps hashes of all that it and the runs behind it were trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from qakit.data.splits import read_split
from qakit.errors import UsageError
from qakit.files import file_sha256
from qakit.recipe.model import BackboneSection, Recipe
from qakit.recipe.staged import SPLIT_FIELDS
from qakit.registry import Registry
from qakit.runs import SEEN, Run, ensemble_members, open_run
from qakit.stages.load import is_pipeline_folder, stage_folders
from qakit.system import without_tilde
from qakit.training.fingerprints import Seen
from qakit.values import Example

WEIGHTS, LABELS, NEGATIVES = "backbone.from_run", "pseudo.from_run", "preprocess.train.hard_negatives.from_run"
TEACHERS = "distill.from_run"
HARD, FROM_RUN = "hard_negatives", "from_run"
"""How preprocessors call their setting for a run whose mistakes they use."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a training comes from."""

    seen: Seen
    """What it, and the runs behind it, show."""
    edges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the recipe's key: the run, its recipe's hash, the hashes of the files that it was trained on and of what was
    tuned with its weights; or a folder of weights; or a file and its hash."""


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
            edges[key] = {"file": str(path), "sha256": file_sha256(path)}
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
    other = [name for name in SPLIT_FIELDS if section and section.get(name) != getattr(own, name)]
    if other:
        there = ", ".join(f"{name} {section.get(name)}" for name in other)
        here = ", ".join(f"{name} {getattr(own, name)}" for name in other)
        return f"its folds are others ({there}; here {here}); name a run of the same folds"
    return "name a run of the same folds, of which each fold takes the model that did not see its part"


def edges_of(recipe: Recipe) -> dict[str, Path]:
    """The runs, files of runs, or weights of runs that a recipe builds on, by the recipe's key."""
    found: dict[str, Path] = {}
    weights = _weights(recipe.backbone)
    if weights is not None:
        found[WEIGHTS if recipe.backbone.from_run is not None else "backbone.source"] = weights
    if recipe.pseudo is not None:
        found[LABELS] = Path(recipe.pseudo.from_run)
    if recipe.distill is not None:
        found[TEACHERS] = Path(recipe.distill.from_run)
    negatives = negatives_from(recipe)
    if negatives is not None:
        found[NEGATIVES] = Path(negatives)
    return found


def negatives_from(recipe: Recipe) -> str | None:
    """The run, or the file, whose mistakes the recipe's training windows use."""
    settings = recipe.preprocess.train.settings.get(HARD)
    path = settings.get(FROM_RUN) if isinstance(settings, Mapping) else None
    return path if isinstance(path, str) else None


def _weights(section: BackboneSection) -> Path | None:
    """The run, or the folder of weights from runs, that a training begins with; None for a backbone from elsewhere."""
    if section.from_run is not None:
        return Path(section.from_run)
    if section.init == "scratch":
        return None
    source = without_tilde(section.source).resolve()
    if (source / SEEN).is_file():
        return source
    return source.parent if source.is_dir() and (source.parent / "recipe.yaml").is_file() else None


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A run, or a folder of weights with what the runs behind them were trained on."""

    folder: Path

    @property
    def run(self) -> Run:
        return Run(self.folder)

    @property
    def is_run(self) -> bool:
        return self.run.recipe_file.is_file()

    def described(self) -> Mapping[str, Any]:
        """What meta.json says of it.

        Raises:
            RunError: its folder is damaged.
        """
        if not self.is_run:
            return {"folder": str(self.folder.absolute())}
        runs = [each for each in trained_runs(self.run) if isinstance(each, Run)]
        return {
            "run": str(self.folder.absolute()),
            "recipe_sha256": self.run.read_json(self.run.meta_file).get("recipe_sha256"),
            "train": {name: digest for run in runs for name, digest in run.training_files().items()},
            "decisions": [digest for run in runs if (digest := run.decision_sha256()) is not None],
        }


def is_another(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether what a training builds on has become something else, wherever it lies; each as an edge of its lineage."""
    both = before.keys() & now.keys() & {"recipe_sha256", "decisions", "sha256"}
    files = [sorted(each.get("train", {}).values()) for each in (before, now)]
    return files[0] != files[1] or any(before[key] != now[key] for key in both)


def ancestor_of(path: Path) -> Ancestor | None:
    """The run, or the weights, that a path is, or the run that a file lies in; None for any other file.

    Raises:
        RunError: it is a folder of something else, or there is nothing.
    """
    run = _owner(path)
    if run is not None:
        return Ancestor(run.folder)
    if path.is_file():
        return None
    return Ancestor(path if (path / SEEN).is_file() else open_run(path).folder)


def seen_by(ancestor: Ancestor, registry: Registry) -> Seen:
    """What it and those behind it were trained on: as its folder says, or else from the files that its recipe names.

    An ensemble has seen what its members have, a pipeline what its stages have, a folder of folds what these have.

    Raises:
        RunError, DataError: neither can be read.
    """
    if not ancestor.is_run:
        return Seen.read(ancestor.folder / SEEN)
    nothing = Seen.of(())
    return reduce(Seen.also, (_alone(each, registry) for each in trained_runs(ancestor.run)), nothing)


def _alone(run: Run | Path, registry: Registry) -> Seen:
    """What one trained run has seen, and those behind it."""
    if isinstance(run, Path):
        return Seen.unknown_of(run)
    for file in (run.seen_file, run.model / SEEN):  # the latter in exported runs
        if file.is_file():
            return Seen.read(file)
    recipe = run.recipe()
    split = read_split(recipe, registry, "train")
    if split is None:
        return Seen.unknown_of(run.folder)
    behind = (ancestor_of(path) for path in edges_of(recipe).values())
    return reduce(Seen.also, (seen_by(each, registry) for each in behind if each is not None), Seen.of(split.examples))


def trained_runs(run: Run) -> Iterator[Run | Path]:
    """The trained runs that a run is made of, itself for most, and what its members are that belong to no run."""
    parts = _parts(run)
    if not parts:
        yield run
    for path in parts:
        owner = _owner(path)
        if owner is None:
            yield path
        else:
            yield from trained_runs(owner)


def _parts(run: Run) -> list[Path]:
    """An ensemble's members, a pipeline's stages, the trained folds; empty for a run with a model of its own."""
    if is_pipeline_folder(run.folder):
        return list(stage_folders(run).values())
    if run.is_folds:
        folds = run.read_json(run.folds_file).get("folds", [])
        own = [run.fold(number) for number in range(1, len(folds) + 1)]
        return [each.folder for each in own if each.recipe_file.is_file()]
    return ensemble_members(run)


def _owner(path: Path) -> Run | None:
    """The run that a path is, or that a file lies in."""
    folders = [path] if path.is_dir() else path.parents if path.is_file() else ()
    found = next((folder for folder in folders if (folder / "recipe.yaml").is_file()), None)
    return None if found is None else open_run(found)
