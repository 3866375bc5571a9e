"""Files of a run that are read while a training may replace them: all of one state, or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from qakit.errors import QakitError, RunError

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
