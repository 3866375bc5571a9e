"""What has become of a run, as its folder tells; what of it only resuming needs, and how much room things take."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qakit.files import writing
from qakit.numbers import finite_or_none
from qakit.runs.folder import LOCK, Run

APART = ("model", "predictions", "checkpoints", "soup")
"""Folders of a run that hold no other run."""


@dataclass(frozen=True, slots=True)
class State:
    """A run is ``finished`` when all of it is there, ``running`` while a process is at work in its folder.

    Without either it has ``failed``, if its process could still say why, or was ``interrupted``: by Ctrl-C, a signal,
    the end of the machine. A part of something larger whose turn has not come is ``waiting``.
    """

    name: Literal["waiting", "running", "finished", "failed", "interrupted"]
    reason: str | None = None
    """Of a failure."""


def state_of(run: Run) -> State:
    """The state of a run, or of all that is trained in its folder: stages, folds, members.

    Raises:
        RunError: a file that says so is damaged.
    """
    parts = list(runs_in(run.folder))
    if any(is_at_work(part) for part in parts):
        return State("running")
    if run.finished:
        return State("finished")
    if not any(part.meta_file.is_file() or part.failure_file.is_file() for part in parts):
        return State("waiting")
    for part in parts:
        if not part.finished and (reason := part.read_json(part.failure_file).get("error")):
            return State("failed", str(reason) if part == run else f"{part.folder.relative_to(run.folder)}: {reason}")
    return State("interrupted")


def seconds_of(runs: Iterable[Run]) -> float:
    """How long finished runs took, all of them together."""
    return sum(finite_or_none(run.read_json(run.metrics_file).get("seconds")) or 0.0 for run in runs)


CLOCK = "clock"
"""What metrics.json says of a training whose time was limited."""


def cut_short(run: Run) -> str:
    """How much of its recipe a finished run has trained, or all of its parts together, where a limited time has left
    steps out; empty for others.

    Raises:
        RunError: metrics.json is damaged.
    """
    found = run.read_json(run.metrics_file).get(CLOCK)
    steps, whole = _steps(found)
    return f"{steps:,} of its recipe's {whole:,} steps, since its time was limited" if steps < whole else ""


def clock_of(runs: Iterable[Run]) -> dict[str, Any]:
    """What metrics.json of a whole says of the time of its parts; empty where nobody has limited it.

    Raises:
        RunError: a part's metrics.json is damaged.
    """
    noted = [found for run in runs if (found := run.read_json(run.metrics_file).get(CLOCK)) is not None]
    steps, whole = (sum(column) for column in zip(*map(_steps, noted), strict=True)) if noted else (0, 0)
    return {CLOCK: {"steps": steps, "of_steps": whole}} if noted else {}


def _steps(noted: object) -> tuple[int, int]:
    """Steps that were taken, and those of the recipe; zeros where nothing sound is noted."""
    found = (noted.get("steps"), noted.get("of_steps")) if isinstance(noted, Mapping) else (0, 0)
    steps, whole = (each if type(each) is int else 0 for each in found)
    return steps, whole


def is_at_work(run: Run) -> bool:
    """Whether a process holds the folder's lock. Where the file system has no locks, nobody seems to."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        handle = os.open(run.folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask do not see each other
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def runs_in(folder: Path) -> Iterator[Run]:
    """The runs in a folder and below it, the outer before the inner ones; the folder itself may be one."""
    for parent, folders, files in os.walk(folder):
        if "recipe.yaml" in files:
            yield Run(Path(parent))
        folders[:] = sorted(name for name in folders if name not in APART and not name.startswith("."))


_CHECKPOINT = re.compile(r"step-\d{8,}")
_CANDIDATE = re.compile(r"step-\d{8,}\.safetensors")
_HALF_WRITTEN = re.compile(r"\.step-\d{8,}(\.safetensors)?\.(old|.*\.tmp)")


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder by their names, the earliest first: folders, and no links to any."""
    found = [path for path in folder.glob("step-*") if _CHECKPOINT.fullmatch(path.name)]
    return sorted(
        (path for path in found if path.is_dir() and not path.is_symlink()),
        key=lambda path: (len(path.name), path.name),
    )


def needed_to_resume(run: Run) -> list[Path]:
    """What a resumed training needs: its checkpoints and the candidates of a soup, half-written ones, too.

    Nothing but what has the name of such a thing, and nothing behind a link.
    """
    found: list[Path] = []
    for folder, name in ((run.checkpoints, _CHECKPOINT), (run.soup, _CANDIDATE)):
        if folder.is_dir() and not folder.is_symlink():
            paths = sorted(folder.iterdir())
            found += [path for path in paths if name.fullmatch(path.name) or _HALF_WRITTEN.fullmatch(path.name)]
    return found


def forget_training(run: Run) -> None:
    """Remove what only resuming needs. For whoever holds the run's lock.

    Raises:
        OutputError: the file system refuses.
    """
    for path in needed_to_resume(run):
        with writing(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for folder in (run.checkpoints, run.soup):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def bytes_of(*paths: Path) -> int:
    """The size of files, and of all that is in folders; of several names for one file only one counts."""
    sizes: dict[tuple[int, int], int] = {}
    for file in (file for path in paths for file in _files(path)):
        try:
            found = file.lstat()
        except FileNotFoundError:  # a training replaces it at this moment
            continue
        sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


def _files(path: Path) -> Iterator[Path]:
    """Not ``rglob``, which fails where a training replaces a folder at this moment."""
    if not path.is_dir() or path.is_symlink():
        yield path
        return
    for parent, _, names in os.walk(path):
        yield from (Path(parent, name) for name in names)
