"""Where a command is told to write: what cannot be written there, or used afterwards, is refused before the work."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

from qakit.errors import RunError, UsageError
from qakit.files import writing
from qakit.kept import check_beside_kept, check_not_kept, check_outside_kept
from qakit.temporary import is_temporary

PathOrNone = TypeVar("PathOrNone", Path | None, str | None)

LONGEST_NAME = 255
"""Bytes, of a file or folder; so it is in the file systems of Linux and macOS."""
LONGEST_PATH = 4096 - 512
"""Bytes of an absolute path, with room for what will lie in a folder."""


def check_name(path: Path) -> None:
    """Make sure that ``path`` is one that every command can be given later; nothing is looked up.

    Raises:
        UsageError: it is not; says why.
    """
    if problem := _problem(path):
        raise UsageError(f"{_shown(path)}: {problem}; choose another name")


def check_output(path: Path) -> None:
    """Make sure that a file or folder can be made at ``path``, or replaced.

    Raises:
        UsageError: its name cannot be used; says why.
        OutputError: the file system will not take it.
    """
    check_name(path)
    if path.name in ("", ".."):
        raise UsageError(f"{path}: this folder is there already and cannot be replaced; name a new one in it")
    with writing(path):
        there = next(place for place in (path, *path.absolute().parents) if place.exists())
        if there != path and not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK if there.is_dir() else os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def check_empty(folder: Path, *, beside: Collection[str] = (), instead: str = "") -> None:
    """Make sure that a command may fill ``folder``: it is not there, or holds nothing but what is named in ``beside``.

    What a killed process left half-written does not count.

    Args:
        instead: what else the user may do where it holds something.

    Raises:
        UsageError: its name cannot be used.
        RunError: it holds something.
        OutputError: it cannot be made.
    """
    check_output(folder)
    if folder.exists() and (not folder.is_dir() or _holds_anything(folder, beside)):
        raise RunError(f"{folder} exists and is not empty: {instead}choose another --output")


def new_path(value: PathOrNone) -> PathOrNone:
    """The callback of every option that names a file to be written, or a folder for reports and answers.

    Raises:
        UsageError: the name cannot be used, or is that of a part of a run, a study, a model.
    """
    if value is not None:
        check_name(Path(value))
        check_beside_kept(Path(value))
    return value


def new_folder(value: PathOrNone) -> PathOrNone:
    """The callback of every option that names a folder which will be a run, a study, a model or an export.

    Raises:
        UsageError: the name cannot be used, or the folder would lie in a run or a study.
    """
    if value is not None:
        check_name(Path(value))
        check_outside_kept(Path(value))
    return value


def folder_to_fill(value: PathOrNone) -> PathOrNone:
    """The callback of every option that names a folder for files whose names somebody else has chosen.

    Raises:
        UsageError: the name cannot be used, or the folder is, or would lie in, a run, a study, a model.
    """
    if value is not None:
        check_name(Path(value))
        check_not_kept(Path(value))
    return value


def _holds_anything(folder: Path, beside: Collection[str]) -> bool:
    return not all(path.name in beside or is_temporary(path.name) for path in folder.iterdir())


def _problem(path: Path) -> str | None:
    """Why a path should not be given to anything new."""
    text = str(path)
    try:
        encoded = os.path.abspath(path).encode("utf-8")  # noqa: PTH100 - nothing is looked up
    except UnicodeEncodeError:
        return "the path is not valid UTF-8, so the files in it could not name it"
    if text.startswith("~"):
        return "the shell has left ~ as it is: put a blank for the = in front of it, or give the whole path"
    if path.name.startswith("-") or text.startswith("-"):
        return "a name that begins with - reads as an option"
    if path.name != path.name.strip():
        return "a blank at the end of a name is easily lost"
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        return "a path with control characters (line ends, tabs) cannot be given on"
    if any(len(part.encode("utf-8")) > LONGEST_NAME for part in path.parts):
        return f"a name has more than {LONGEST_NAME} bytes"
    if len(encoded) > LONGEST_PATH:
        return f"the whole path has more than {LONGEST_PATH:,} bytes"
    if is_temporary(path.name) or (path.name.startswith(".") and path.name.endswith((".old", ".adding"))):
        return "such names are those of unfinished files"
    return None


def _shown(path: Path) -> str:
    """The path on one line, without what no stream can take."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-59:]}"
