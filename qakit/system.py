"""What the operating system says: where a user's home is, and what it refuses to any program."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from qakit.errors import QakitError, UsageError

_STATE_OF_SYSTEM = frozenset(
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE,
        errno.ELOOP, errno.ENAMETOOLONG,
    }
)  # fmt: skip


def home_folder() -> Path:
    """The user's home.

    Raises:
        UsageError: the system knows none, as for a container's number of a user that has no name.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError("this user has no home folder: set the environment variable HOME to one") from None


def without_tilde(path: str | Path) -> Path:
    """The path with ``~`` as the home folder; as it is where there is none, or no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises instead


def refused_by_system(error: Exception) -> QakitError | None:
    """What to say of an error that is the system's state and no program's mistake; None for any other."""
    if isinstance(error, MemoryError):
        return UsageError("there is not enough memory for this")
    if isinstance(error, OSError) and error.errno in _STATE_OF_SYSTEM:
        where = "" if error.filename is None else f"{error.filename}: "
        return UsageError(f"{where}{error.strerror}")
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib before Python 3.13
        return UsageError(f"{str(error).removeprefix('Symlink loop from ')} is a symbolic link that leads to itself")
    return None
