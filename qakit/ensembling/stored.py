"""An ensemble's folder read again: members, method, and what was decided, for questions that come later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.ensembling.method import Method
from qakit.ensembling.shares import as_shares
from qakit.ensembling.validation import Decision
from qakit.errors import RunError
from qakit.files import file_sha256
from qakit.numbers import finite
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import ENSEMBLE, Run, ensemble_members, open_run


@dataclass(frozen=True, slots=True)
class StoredEnsemble:
    """An ensemble as its folder has it, without its models; or the folds of a recipe, taken for one."""

    run: Run
    recipe: Recipe
    """Says how questions are read, and answers cleaned up and written."""
    members: tuple[Path, ...]
    """Where they lie now."""
    method: Method
    decision: Decision
    combined: Mapping[Path, str]
    """The members' files of predictions that the ensemble was made of, where they lie now, with their SHA-256 then."""

    def changed_members(self) -> list[Path]:
        """The members that have predicted their questions anew, and otherwise, since the ensemble was made."""
        changed = [file for file, digest in self.combined.items() if file.is_file() and file_sha256(file) != digest]
        return [path for path in self.members if any(file.is_relative_to(path) for file in changed)]


def open_stored(folder: Path, registry: Registry) -> StoredEnsemble:
    """Read an ensemble's folder, and make sure that every member can answer.

    Raises:
        RunError: it is damaged, or a member is not there any more, or has no model.
        UsageError: its weights do not go with its method.
        PluginError: its method is not installed, or no longer has its settings.
    """
    run = open_run(folder)
    file = run.folder / ENSEMBLE
    found = run.read_json(file)
    members = tuple(ensemble_members(run))
    for path in members:
        if why := _not_a_model(path):
            raise RunError(
                f"{run.folder} cannot answer other questions: its member {path} {why}, and make the ensemble again "
                "(`qakit ensemble`)"
            )
    try:
        settings = dict(found["method"])
        name = str(settings.pop("name"))
        weights, temperatures = (
            tuple(finite(each[key]) for each in found["members"]) for key in ("weight", "temperature")
        )
        decision = Decision(weights, temperatures, finite(found["null_threshold"]))
        if not all(each > 0 for each in temperatures):
            raise ValueError("a temperature must be a number above 0")
        as_shares(weights)
        combined = dict(_where_now(found, members))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{file} is damaged: {error}") from None
    # Methods without weights of their own are told none: theirs are equal.
    own = weights if len(set(weights)) > 1 else None
    method = Method.of(name, settings, own, len(members), registry)
    return StoredEnsemble(run, run.recipe(), members, method, decision, combined)


def _where_now(found: Mapping[str, Any], members: tuple[Path, ...]) -> list[tuple[Path, str]]:
    """The recorded files of predictions; a member may have moved together with the ensemble."""
    files = [(Path(file), digest) for split in ("test", "validation") for file, digest in found[split].items()]
    return [
        (now / file.relative_to(each["path"]), digest)
        for each, now in zip(found["members"], members, strict=True)
        for file, digest in files
        if file.is_relative_to(each["path"])
    ]


def _not_a_model(path: Path) -> str:
    """Why a member cannot answer, and what to do; empty for a run with a model, and for one that is made of others."""
    run = Run(path)
    if not path.exists():
        return "is not there any more: put it back, or name it where it lies now"
    if path.is_file():
        return "is a file of answers: take the run that they come from"
    if not run.recipe_file.is_file():
        return "holds predictions and no run: take the run that they come from"
    if not (run.model.is_dir() or run.is_composed or run.is_folds):
        return "has no model: train it"
    return ""
