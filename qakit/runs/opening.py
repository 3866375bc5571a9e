"""Runs that are there: one by its folder, or all of them; and files that are read while a training may replace them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from qakit.errors import QakitError, RunError
from qakit.files import recover_files, recover_folder, refuse_special
from qakit.names import quoted
from qakit.runs.folder import ENSEMBLE, LAYOUT, MEMBERS, MEMBERS_FILE, Run
from qakit.values import TargetNames


def open_run(folder: str | os.PathLike[str]) -> Run:
    """An existing run.

    Raises:
        RunError: there is no such folder, or it is not a run.
    """
    run = Run(Path(folder))
    recover_run(run)
    if not run.folder.is_dir():
        raise RunError(f"there is no run {run.folder} (`qakit runs list` shows the runs)")
    if not run.recipe_file.is_file():
        raise RunError(f"{run.folder} is not a run: it has no recipe.yaml ({_what_to_name(run)})")
    return run


def not_finished(run: Run) -> RunError:
    """The error for what is made of several runs, and is still to be made."""
    return RunError(f"{run.folder} is not finished; resume with: qakit train --resume --output {quoted(run.folder)}")


def is_model_alone(name: str | os.PathLike[str]) -> bool:
    """Whether it means a model without a run: a folder with a configuration and no recipe, or a name for the hub.

    A path below a folder that is there, ``runs/NAME``, means a run also where that is missing.
    """
    path = Path(name)
    if path.is_dir():
        return (path / "config.json").is_file() and not Run(path).recipe_file.is_file()
    if path.is_absolute() or path.exists() or str(name).startswith((".", "~")) or len(path.parts) > 2:
        return False
    return len(path.parts) == 1 or not Path(path.parts[0]).is_dir()


def recover_run(run: Run) -> None:
    """Bring to its end what a killed process was doing to the folder: making it, or replacing its model.

    Raises:
        RunError: a link in the folder leads out of it.
        OutputError: the folder cannot be written.
    """
    refuse_ways_out(run.folder)
    recover_files(run.folder, last=run.recipe_file.name)
    recover_folder(run.model)


def _what_to_name(folder: Run) -> str:
    if (folder.folder / LAYOUT).is_file() and (folder.folder / "config.json").is_file():
        return "it is a model alone, for transformers; name the run that it comes from"
    return "`qakit runs list` shows the runs"


def refuse_ways_out(folder: Path) -> None:
    """A link in a folder that somebody else made could have files written, read or removed anywhere; a pipe or a device
    in it could keep whoever reads it for good.

    Raises:
        RunError: a link in the folder leads out of it, something in it is no file, or cannot be looked into.
    """
    root = folder.resolve()

    def closed(error: OSError) -> None:
        # removed meanwhile, or not there yet; or a file, which is no run
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise RunError(f"{error.filename} cannot be looked into: {error.strerror}") from error

    for parent, folders, files in os.walk(folder, onerror=closed):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise RunError(f"{path} is a link that leads out of {folder}: put the file itself there")
            refuse_special(path)


DEEPEST = 8
"""Ensembles of ensembles, so many at most."""


def nested(folder: Path, within: tuple[Path, ...]) -> tuple[Path, ...]:
    """Where the members of an ensemble, or of folds, lie: in what it lies in, and in itself.

    Args:
        folder: its own.
        within: the ensembles of which it is a member, outermost first, as this function gave them.

    Raises:
        RunError: it is a member of itself, or there are too many around it.
    """
    own = folder.resolve()
    if own in within:
        raise RunError(f"{folder} is a member of itself: name other members, and make the ensemble again")
    if len(within) >= DEEPEST:
        raise RunError(f"{folder} lies in {DEEPEST} ensembles, one in another: make one of their members")
    return (*within, own)


def member_folders(run: Run) -> list[Path]:
    """Where the models of an ensemble, or of folds, lie, in their order; what else is there is not looked at.

    Raises:
        RunError: the folder is damaged.
    """
    if not run.is_folds:
        return ensemble_members(run)
    folds = run.recipe().folds
    return [] if folds is None else [run.fold(number).folder for number in range(1, folds.k + 1)]


def ensemble_members(run: Run) -> list[Path]:
    """Where an ensemble's members lie, in their order. Those that it has trained are in its own folder, also where that
    was moved or copied, and where one is missing: a copy never reads the original's, nor one member another's place.

    Raises:
        RunError: its file is damaged.
    """
    file = run.folder / ENSEMBLE
    try:
        named = [Path(member["path"]) for member in run.read_json(file).get("members", [])]
    except (KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged: it does not name its members ({error})") from None
    trained = run.read_json(run.folder / MEMBERS_FILE).get("train")
    labels = trained if isinstance(trained, list) else []

    def place(path: Path) -> Path:
        own, within = run.folder / MEMBERS / path.name, path.parent.name == MEMBERS
        if path.name in labels or not path.is_absolute():
            return own if within else path
        return own if own.exists() and (within or not path.exists()) else path

    return [place(path) for path in named]


def ensemble_method(run: Run) -> str:
    """How an ensemble combines its members: the plugin's name.

    Raises:
        RunError: its file is damaged.
    """
    file = run.folder / ENSEMBLE
    try:
        return str(run.read_json(file)["method"]["name"])
    except (KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged: it does not name its method ({error})") from None


def classes_of(run: Run, within: tuple[Path, ...] = ()) -> tuple[str, ...] | None:
    """The classes in the order in which a run of any kind gives their probabilities: of several models, that of the
    first one that says it.

    Args:
        within: the ensembles and folds of which this is a member, outermost first.

    Raises:
        RunError: what it says is damaged.
    """
    if not run.has_members:
        own = run.classes()
        return own if own and not isinstance(own, TargetNames) else None
    within = nested(run.folder, within)
    return next((found for folder in member_folders(run) if (found := classes_of(Run(folder), within))), None)


def list_runs(root: Path) -> list[Run]:
    """The runs directly under ``root``, oldest first."""
    if not root.is_dir():
        return []
    found = [Run(path.parent) for path in root.glob("*/recipe.yaml")]
    return sorted(found, key=lambda run: (run.recipe_file.stat().st_mtime, run.name))


T = TypeVar("T")
State = tuple[tuple[str, int, int, int], ...]
"""Of every file: path, inode, bytes, time of its last change in nanoseconds."""
TRIES = 5


def read_in_one_state(read: Callable[[], T], *places: Path) -> T:
    """What ``read`` gives, from files that nobody has replaced from its beginning to its end; else it reads again.

    Args:
        read: reads the places; what it raises counts only where they stay as they are.
        places: files, and folders with all that is in them.

    Raises:
        RunError: they are replaced every time.
    """
    for _ in range(TRIES):
        before = _state(places)
        try:
            value = read()
        except (QakitError, OSError):
            if _state(places) == before:
                raise
            continue
        if _state(places) == before:
            return value
    raise RunError(
        f"{places[0]} is replaced again and again while it is read: a training is at work there; try again when it "
        "has ended"
    )


def _state(places: Sequence[Path]) -> State:
    try:
        files = [file for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
        facts = [(str(file), file.stat()) for file in files if file.exists()]
    except FileNotFoundError:  # gone since it was listed: a state of its own
        return (("", 0, 0, time.monotonic_ns()),)
    return tuple((name, found.st_ino, found.st_size, found.st_mtime_ns) for name, found in facts)
