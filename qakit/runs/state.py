"""What has become of a run, as its folder tells."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
