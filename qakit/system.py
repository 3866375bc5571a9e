"""What the operating system says: where a user's home is, and what it refuses to any program."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from qakit.errors import QakitError, UsageError

_STATE_OF_SYSTEM = frozenset(
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE,
        errno.ELOOP, errno.ENAMETOOLONG,
    }
)  # fmt: skip

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    # the libraries that work on the GPU, when they ask for memory of their own
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no memory left. On the CPU PyTorch says so in the message only."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # PyTorch's; it is not loaded here
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def is_lost_connection(error: BaseException) -> bool:
    """Whether another process of the same command has gone away in the middle of an exchange."""
    named = any(each.__name__ == "DistError" for each in type(error).__mro__)  # PyTorch's; it is not loaded here
    return isinstance(error, RuntimeError) and (named or "gloo" in str(error).lower())


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


def environment_of_children() -> dict[str, str]:
    """The environment of a process that runs this program again: it finds the packages that this one finds.

    ``python -m`` would look into the working folder first, and that may be somebody else's: a ``json.py`` in it would
    be run in place of Python's own.
    """
    here = [str(Path(entry).absolute()) for entry in sys.path if entry]
    path = os.pathsep.join(filter(None, (*here, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


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
