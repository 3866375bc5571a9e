"""Names of temporary files and folders: each says for what, and whose it is, so that nobody removes another's.

``.TARGET.HOST-PID-START.TOKEN.tmp`` lies beside TARGET and belongs to the process PID that began at START on HOST. It
is given up when that process is gone. Whether a process on another machine (or in another container) is gone cannot be
seen from here; what it left is given up when it has not changed for a day.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path

LONGEST_STEM = 100
"""Bytes of a target's name that stand in the names made of it; file systems end names at 255."""
FOREIGN_SECONDS = 24 * 3600
"""How long another machine's file has to be unchanged before it counts as given up."""
_TEMPORARY = re.compile(
    r"\.(?P<stem>.+)\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)\.(?P<token>[0-9a-f]{8})\.tmp", re.DOTALL
)


def temporary_path(target: Path) -> Path:
    """A path beside ``target`` that nobody else uses; nothing is made."""
    pid = os.getpid()
    owner = f"{_host()}-{pid}-{_start(pid) or 0}"
    return target.with_name(f".{stem_of(target.name)}.{owner}.{secrets.token_hex(4)}.tmp")


def stem_of(name: str) -> str:
    """A name, or a shorter one for it where what is made of it would be too long for the file system."""
    encoded = os.fsencode(name)
    if len(encoded) <= LONGEST_STEM:
        return name
    digest = blake2b(encoded, digest_size=6).hexdigest()
    return f"{encoded[: LONGEST_STEM - 13].decode('utf-8', 'ignore')}-{digest}"


def is_temporary(name: str) -> bool:
    """Whether a name has the form of :func:`temporary_path`."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder: Path, target: str | None = None) -> None:
    """Remove the temporary files and folders in ``folder`` whose process is gone; with ``target``, only those of it."""
    for path in list(_given_up(folder, None if target is None else stem_of(target))):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _given_up(folder: Path, stem: str | None) -> Iterator[Path]:
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:  # it is not there yet, or cannot be read
        return
    for name in names:
        found = _TEMPORARY.fullmatch(name) if name.startswith(".") and name.endswith(".tmp") else None
        if found is None or stem not in (None, found["stem"]):
            continue
        path = folder / name
        if found["host"] != _host():
            gone = time.time() - _last_change(path) > FOREIGN_SECONDS
        else:
            gone = not _is_running(int(found["pid"]), int(found["start"]))
        if gone:
            yield path


def _is_running(pid: int, start: int) -> bool:
    """Whether the process is the one that began then: a number is given to another process later."""
    found = _start(pid)
    return found is not None and (not found or not start or found == start)


def _start(pid: int) -> int | None:
    """When a process began, in the system's own unit; 0 where that cannot be told, None if there is none (any more)."""
    if sys.platform == "win32":
        import psutil  # accelerate's

        try:
            return int(psutil.Process(pid).create_time() * 1000)
        except psutil.NoSuchProcess:
            return None
        except psutil.AccessDenied:
            return 0
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if state in (b"Z", b"X") else int(numbers[18])
    except (OSError, ValueError, IndexError):  # no such process, or one that is hidden from us, or no Linux
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except (OSError, OverflowError):
            return 0
        return 0


@cache
def _host() -> str:
    """Where process numbers mean the same: a machine, and on Linux a name space of process numbers."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - it names no path
    return blake2b(f"{platform.node()} {space}".encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _last_change(path: Path) -> float:
    """The newest time of a file, or in a folder, in seconds since 1970."""
    times = [0.0]
    for parent, folders, files in os.walk(path):
        for each in (path, *(Path(parent, name) for name in (*folders, *files))):
            with suppress(OSError):
                times.append(each.lstat().st_mtime)
    with suppress(OSError):
        times.append(path.lstat().st_mtime)
    return max(times)
