"""The user's cache: what can be made again, kept below a size and for as long as it is used.

::

    $QAKIT_CACHE/user-UID/, or ~/.cache/qakit/user-UID/
      tokens/KEY/                  tokenised texts (``qakit.data.store``)
      weights/SHA256.safetensors   converted weights (``qakit.modeling.pickles``)
      datasets/hub--OWNER--NAME/   splits of the hub's datasets as Parquet (``qakit.data.sources``)

Each user has a folder that nobody else can read or fill, so that users may share ``$QAKIT_CACHE``. An entry's time of
change is when it was last used. All of it may be deleted at any time.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qakit.errors import UsageError
from qakit.files import make_folder
from qakit.temporary import remove_leftovers, temporary_path

TOKENS, WEIGHTS, DATASETS = "tokens", "weights", "datasets"
ROOMS = {
    TOKENS: re.compile(r"[0-9a-f]{32}"),
    WEIGHTS: re.compile(r"[0-9a-f]{64}\.safetensors"),
    DATASETS: re.compile(r"hub--\w[\w.-]*"),
}
"""The folders of the cache, and what their entries are called: nothing else is ever removed."""
LIMIT_GB = 20.0
"""Size of a user's cache, unless ``$QAKIT_CACHE_GB`` says otherwise."""
UNUSED_DAYS = 90
"""Days after which an entry that nothing has used is given up."""
NOBODY = 65534
"""The owner of what network file systems and containers don't say whose it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that the cache holds: a file or a folder."""

    room: str
    path: Path
    size: int
    """Bytes."""
    used: float
    """Seconds since 1970."""


def default_cache() -> Path:
    """This user's folder in ``$QAKIT_CACHE``, or in ``~/.cache/qakit``; it need not be there."""
    named = os.environ.get("QAKIT_CACHE")
    try:
        root = Path(named).expanduser() if named else Path.home() / ".cache" / "qakit"
    except RuntimeError:  # a container's user may have no home
        root = Path(tempfile.gettempdir()) / "qakit-cache"
    return root / f"user-{os.getuid() if hasattr(os, 'getuid') else 0}"


def open_room(cache: Path, room: str) -> Path:
    """A folder of the cache, made for this user alone where it is not there.

    Raises:
        OSError: the file system refuses, or the cache is another user's, who could have put anything there.
    """
    check_own(cache, room)
    make_folder(cache.parent)
    with suppress(FileExistsError):
        cache.mkdir(mode=0o700)
    check_own(cache, room)  # again: somebody else may have been faster
    folder = cache / room
    make_folder(folder)
    remove_leftovers(folder)
    return folder


def check_own(cache: Path, room: str) -> None:
    """Make sure, before anything is read there, that nobody else could have put it into a room of the cache.

    Raises:
        PermissionError: the cache or the room is another user's, a link, or open to others for writing.
    """
    if not hasattr(os, "getuid"):  # Windows, where it lies in the user's own folder
        return
    for folder in (cache, cache / room):
        with suppress(FileNotFoundError):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode):
                raise PermissionError(errno.EPERM, "it is a link, or no folder: remove it", str(folder))
            if found.st_uid not in (os.getuid(), NOBODY):
                raise PermissionError(errno.EPERM, "it belongs to another user", str(folder))
            if folder == cache and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                message = "others may write there: remove it, or set QAKIT_CACHE to a folder of your own"
                raise PermissionError(errno.EPERM, message, str(folder))


def mark_used(path: Path) -> None:
    """Note that an entry was used just now."""
    with suppress(OSError):  # a cache that can only be read is of use, too
        os.utime(path)


def entries(cache: Path) -> list[Entry]:
    """All that the cache holds, what was not used for longest first."""
    found = [entry for room in ROOMS for path in _paths(cache, room) if (entry := _entry(room, path)) is not None]
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def prune(cache: Path, *, keep: Path | None = None) -> None:
    """Remove what was not used for long, then what was not used for longest until the rest is below the limit.

    Args:
        cache: this user's.
        keep: an entry that stays, whatever its size: the one that was just made.

    Raises:
        UsageError: ``$QAKIT_CACHE_GB`` is no number.
    """
    limit, oldest = limit_bytes(), time.time() - UNUSED_DAYS * 24 * 3600
    held = entries(cache)
    total = sum(entry.size for entry in held)
    for entry in held:
        if entry.path != keep and (entry.used < oldest or total > limit):
            _remove(entry.path)
            total -= entry.size


def clear(cache: Path, rooms: Collection[str] = ROOMS.keys(), *, unused_days: float = 0) -> list[Entry]:
    """Remove the entries of some rooms, with ``unused_days`` only those not used for so long; returns them."""
    before = time.time() - unused_days * 24 * 3600
    gone = [entry for entry in entries(cache) if entry.room in rooms and (not unused_days or entry.used < before)]
    for entry in gone:
        _remove(entry.path)
    return gone


def limit_bytes() -> int:
    """How large a user's cache may be.

    Raises:
        UsageError: ``$QAKIT_CACHE_GB`` is no number.
    """
    text = os.environ.get("QAKIT_CACHE_GB", "")
    if not text:
        return int(LIMIT_GB * 1e9)
    if not re.fullmatch(r"\d{1,12}(\.\d*)?", text):
        raise UsageError(f"QAKIT_CACHE_GB={text!r} should be a number: the cache's size in gigabytes, such as 20")
    return int(float(text) * 1e9)


def _paths(cache: Path, room: str) -> Iterator[Path]:
    with suppress(OSError):
        check_own(cache, room)  # what lies elsewhere may be anybody's
        yield from (path for path in (cache / room).iterdir() if ROOMS[room].fullmatch(path.name))


def _entry(room: str, path: Path) -> Entry | None:
    """None for one that another process is removing."""
    try:
        used = path.stat().st_mtime
        files = path.rglob("*") if path.is_dir() else [path]
        return Entry(room, path, sum(file.stat().st_size for file in files if file.is_file()), used)
    except OSError:
        return None


def _remove(path: Path) -> None:
    """Out of sight first, so that nobody finds half of it. Who has mapped it keeps it."""
    with suppress(OSError):
        away = path.replace(temporary_path(path))
        if away.is_dir():
            shutil.rmtree(away, ignore_errors=True)
        else:
            away.unlink()
