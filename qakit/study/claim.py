"""Who trains in a run folder: a lock that the training's process holds together with the study that started it.

So the folder stays taken when the study is killed and its training lives on, and is free as soon as both are gone.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.files import writing

NAME = ".study.lock"


@dataclass(slots=True)
class Claim:
    """A run folder that is this process's until :meth:`release`; hand ``inherited`` on to the training."""

    inherited: tuple[int, ...]
    """File descriptors that keep the folder taken."""
    _lock: Any = None

    def release(self) -> None:
        """Let go; the folder stays taken as long as a process that inherited the descriptor lives."""
        for descriptor in self.inherited:
            os.close(descriptor)
        self.inherited = ()
        if self._lock is not None:
            self._lock.release()


def claim(folder: Path) -> Claim | None:
    """Take a folder (made if need be), or None if another process has it.

    Raises:
        OutputError: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return _windows(folder / NAME) if sys.platform == "win32" else _posix(folder / NAME)


def _posix(file: Path) -> Claim | None:
    import fcntl

    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        # flock, not lockf: its lock belongs to the open file, which a child process inherits.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return Claim((descriptor,))


def _windows(file: Path) -> Claim | None:
    from filelock import FileLock, Timeout

    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return None
    return Claim((), lock)
