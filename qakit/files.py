"""Writing files so that a killed process leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qakit.errors import OutputError, QakitError

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""How libraries written in Rust (safetensors, tokenizers) put the system's refusal into exceptions of their own."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; on success it is fsynced and renamed to ``path``, on failure removed.

    Raises:
        OutputError: the file system refuses (disk full, read-only, a folder in the way).
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace the file with ``text`` (UTF-8, line ends as they are), atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``; on success every file in it is fsynced and it takes the folder's place.

    A kill between the two renames leaves the old folder as ``.NAME.old``: :func:`recover_folder` puts it back. What a
    killed process left half-written is removed here.

    Raises:
        OutputError: the file system refuses.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(folder)
        remove_leftovers(folder.parent, folder.name)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
            temporary.chmod(0o777 & ~_umask())
            _take_place(temporary, folder)
            _to_disk(folder.parent)  # before anything that it replaces is given up
            shutil.rmtree(_old(folder), ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(parent: Path, name: str) -> None:
    """Remove temporary folders of :func:`replace_folder` for folders called ``name`` (a pattern)."""
    for leftover in parent.glob(f".{name}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove temporary files of :func:`atomic_path` that a killed process left in ``folder``.

    Only while no other process writes there.
    """
    for leftover in folder.glob(".*.tmp"):
        if leftover.is_file():
            with suppress(OSError):
                leftover.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the file system's refusal into an error for the user.

    Raises:
        OutputError: an ``OSError`` came up inside, or what a library made of one.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    except Exception as error:
        refusal = _SYSTEM_ERROR.search(str(error))
        if refusal is None or isinstance(error, QakitError):
            raise
        raise OutputError(f"cannot write {path}: {os.strerror(int(refusal[1]))}") from error


def recover_folder(folder: Path) -> None:
    """Undo a :func:`replace_folder` that was killed half-way; call it before reading ``folder``."""
    old = _old(folder)
    if not old.is_dir():
        return
    if folder.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):  # another process was faster
            old.replace(folder)


def without_gz(path: Path) -> Path:
    """What a file would be called if it were not compressed: ``a.csv`` for ``a.csv.gz`` as for ``a.csv``."""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def _take_place(temporary: Path, folder: Path) -> None:
    """The two renames. Somebody who looks between them may put the old folder back; then once more."""
    for attempt in range(5):
        if folder.exists():
            folder.replace(_old(folder))
        try:
            temporary.replace(folder)
            return
        except OSError as error:
            if attempt == 4 or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _to_disk(folder: Path) -> None:
    """Bring the names in ``folder`` to disk: a rename may otherwise be lost with the power."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # a folder that may be written and not read, or a system without this
        return
    try:
        with suppress(OSError):  # some network file systems have no such thing
            os.fsync(handle)
    finally:
        os.close(handle)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document, atomically."""
    write_text(path, json_text(value))


def json_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """A value as such files have it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
