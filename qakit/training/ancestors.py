"""What a training builds on: a run, one that is made of several, or weights that were taken out of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from qakit.data.splits import read_split
from qakit.registry import Registry
from qakit.runs import SEEN, Run, ensemble_members, open_run
from qakit.stages.folder import is_pipeline_folder, stage_folders
from qakit.training.edges import edges_of
from qakit.training.seen import Seen


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
        files: dict[str, str] = {}
        for each in _trained(self.run):
            if isinstance(each, Run):
                files |= each.read_json(each.meta_file).get("data", {}).get("train", {}).get("files", {})
        digest = self.run.read_json(self.run.meta_file).get("recipe_sha256")
        return {"run": str(self.folder.absolute()), "recipe_sha256": digest, "train": files}


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
    return reduce(Seen.also, (_alone(each, registry) for each in _trained(ancestor.run)), nothing)


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


def _trained(run: Run) -> Iterator[Run | Path]:
    """The trained runs that a run is made of, itself for most, and what its members are that belong to no run."""
    parts = _parts(run)
    if not parts:
        yield run
    for path in parts:
        owner = _owner(path)
        if owner is None:
            yield path
        else:
            yield from _trained(owner)


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
