"""Writing files so that a killed process leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qakit.errors import OutputError, QakitError, RunError
from qakit.temporary import remove_leftovers, stem_of, temporary_path

HASHED_AT_A_TIME = 2**18
"""Bytes of a file that are read before somebody is asked whether to go on."""
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""How libraries written in Rust (safetensors, tokenizers) put the system's refusal into exceptions of their own."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; on success it is brought to disk and renamed to ``path``, on failure removed.

    What killed processes left of the same file is removed.

    Raises:
        OutputError: the file system refuses (disk full, read-only, a folder in the way).
    """
    with writing(path):
        make_folder(path.parent)
        remove_leftovers(path.parent, path.name)
        temporary = temporary_path(path)
        mode = _new_file(temporary)
        try:
            yield temporary
            temporary.chmod(mode)  # some libraries put a file of their own there, for nobody else to read
            _file_to_disk(temporary)
            temporary.replace(path)
            folder_to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace the file with ``text`` (UTF-8, line ends as they are), atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``; on success all in it is brought to disk and it takes the folder's place.

    A kill between the two renames leaves the old folder as ``.NAME.old``: :func:`recover_folder` puts it back. What
    killed processes left half-written is removed here. Files get the modes that the umask gives, whoever wrote them.

    Raises:
        OutputError: the file system refuses.
    """
    with writing(folder), temporary_folder(folder) as temporary:
        recover_folder(folder)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        _tree_to_disk(temporary, mode)
        _take_place(temporary, folder)
        folder_to_disk(folder.parent)  # before anything that it replaces is given up
        shutil.rmtree(_old(folder), ignore_errors=True)


@contextmanager
def add_files(folder: Path, *, last: str) -> Iterator[Path]:
    """A temporary folder in ``folder``; on success what it holds is moved there, the file ``last`` at the end.

    All is on disk before anything is moved, and all else is there for good before ``last`` is: who finds ``last`` finds
    the rest, also after a power cut. A kill between leaves ``.LAST.adding``, which :func:`recover_files` completes.

    Raises:
        OutputError: the file system refuses.
    """
    with writing(folder), temporary_folder(folder / last) as temporary:
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        _tree_to_disk(temporary, mode)
        temporary.replace(_adding(folder, last))
        recover_files(folder, last=last)


def recover_files(folder: Path, *, last: str) -> None:
    """Bring an :func:`add_files` to its end that was killed half-way; call it before looking for ``last``.

    Raises:
        OutputError: the file system refuses.
    """
    adding = _adding(folder, last)
    if not adding.is_dir() or adding.is_symlink():  # we make no links: what lies behind one is not ours to move
        return
    with writing(folder), suppress(FileNotFoundError):  # where another process does the same and is faster
        folder_to_disk(folder)
        for path in sorted(adding.iterdir(), key=lambda path: (path.name == last, path.name)):
            if path.name == last:
                folder_to_disk(folder)
            _move(path, folder / path.name)
        adding.rmdir()
        folder_to_disk(folder)


def copy_files(source: Path, target: Path, copy: Callable[[Path, Path], object] = shutil.copyfile) -> None:
    """Copy what a folder holds into another one, which is there; modes and times are not copied."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            copy(path, place)


def names_in(folder: Path) -> list[str]:
    """The files in a folder and below it, and links, by their paths in it with forward slashes."""
    found = sorted(folder.rglob("*"))
    return [path.relative_to(folder).as_posix() for path in found if path.is_file() or path.is_symlink()]


def carry_over(folder: Path, fresh: Path, names: Iterable[str]) -> None:
    """Copy some of :func:`names_in` into the folder that will take the place of theirs, links as links."""
    for name in names:
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, fresh / name, follow_symlinks=False)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside ``target``, and this process's, until the block ends. Those of killed processes go.

    Raises:
        OSError: the file system refuses.
    """
    make_folder(target.parent)
    remove_leftovers(target.parent, target.name)
    temporary = temporary_path(target)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder and what it lies in, as far as they are not there, and bring their names to disk.

    Raises:
        OSError: the file system refuses.
    """
    missing = []
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        missing.append(place)
    for place in reversed(missing):
        try:
            place.mkdir(exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, f"{place} is a file, no folder") from None
        folder_to_disk(place.parent)


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


def refuse_special(path: Path, error: type[QakitError] = RunError) -> None:
    """Make sure that a path is a file or a folder, if it is there: whoever opens a pipe waits for its other end.

    Raises:
        QakitError: of the given type: it is a pipe, a socket or a device.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise error(f"{path} is a pipe, a socket or a device, and no file")


def check_readable(path: Path, error: type[QakitError] = RunError) -> None:
    """Make sure that this user may read a file, or a folder and the files in it, as far as they are there.

    To be asked before a library reads them: many call what they may not read missing or damaged.

    Raises:
        QakitError: of the given type, where the system refuses, or where it is no file.
    """
    try:
        for file in path.iterdir() if path.is_dir() else [path]:
            refuse_special(file, error)
            if file.is_file():
                with suppress(FileNotFoundError), file.open("rb"):
                    pass
    except PermissionError as refusal:
        closed = "it is there, but closed to this user; ask its owner to open it (chmod)"
        raise error(f"{refusal.filename}: {refusal.strerror}: {closed}") from None


def recover_folder(folder: Path) -> None:
    """Undo a :func:`replace_folder` that was killed half-way; call it before reading ``folder``."""
    old = _old(folder)
    if not old.is_dir() or old.is_symlink():
        return
    if folder.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):  # another process was faster
            old.replace(folder)


def file_sha256(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Args:
        path: the file.
        check: called before each block; what it raises ends the reading of a large file.

    Raises:
        OSError: it cannot be read.
    """
    digest, block = hashlib.sha256(), memoryview(bytearray(HASHED_AT_A_TIME))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            check()
            digest.update(block[:size])
    return digest.hexdigest()


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


def folder_to_disk(folder: Path) -> None:
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
    return folder.with_name(f".{stem_of(folder.name)}.old")


def _adding(folder: Path, last: str) -> Path:
    return folder / f".{last}.adding"


def _move(path: Path, target: Path) -> None:
    """Rename, also in the place of a folder that holds something."""
    try:
        path.replace(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(target, ignore_errors=True)
        path.replace(target)


def _new_file(path: Path) -> int:
    """Make an empty file; returns its mode, which the umask (or the folder's access list) has decided."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _tree_to_disk(folder: Path, mode: int) -> None:
    """Bring all in a folder to disk, the names too, with the modes that the umask gives: ``mode`` is the folder's."""
    for parent, _, names in os.walk(folder, topdown=False):
        for file in (Path(parent, name) for name in names):
            if not file.is_symlink():
                executable = stat.S_IMODE(file.stat().st_mode) & stat.S_IXUSR
                _set_mode(file, mode & (0o777 if executable else 0o666))
                _file_to_disk(file)
        _set_mode(Path(parent), mode)
        folder_to_disk(Path(parent))


def _set_mode(path: Path, mode: int) -> None:
    if stat.S_IMODE(path.stat().st_mode) != mode:
        with suppress(PermissionError):  # a hard link to somebody else's file
            path.chmod(mode)


def _file_to_disk(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def write_json(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document, atomically."""
    write_text(path, json_text(value))


def json_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """A value as such files have it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
