"""Unpacking an archive that somebody else made: nothing outside the folder, no links, no bombs."""

from __future__ import annotations

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from qakit.errors import DataError

CHUNK = 1 << 20
MOST_FILES = 200_000
DEEPEST = 64
"""Parts of a member's path; data lies far above."""
SHOWN = 100
"""Characters of a member's name in a message."""
SUSPICIOUS_RATIO = 200
"""Unpacked to packed bytes; text and tables stay far below."""
SMALL = 64 << 20
"""Bytes up to which an archive may unpack to, whatever the ratio."""

_ENCRYPTED = 0x1


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack into an empty folder; returns the files, relative to it, in the archive's order.

    Raises:
        DataError: the archive is damaged, or holds what it must not; files may have been written by then.
    """
    with _reading(archive):
        packed = zipfile.ZipFile(archive)
    with packed:
        members = [each for each in packed.infolist() if not each.is_dir()]
        _check(members, archive)
        return [_extract(packed, member, folder, archive) for member in members]


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """A damaged archive makes the zip reader raise all kinds of things."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise DataError(f"is damaged or cut off ({error})", path=archive.name) from None


def _check(members: Sequence[zipfile.ZipInfo], archive: Path) -> None:
    """All that can be told before anything is written."""
    if len(members) > MOST_FILES:
        raise DataError(f"holds {len(members):,} files; that is no competition's data", path=archive.name)
    seen: set[str] = set()
    for member in members:
        problem = _problem(member)
        if problem is None and member.filename.casefold() in seen:
            problem = "is there twice"
        if problem is not None:
            raise DataError(f"{problem}; nothing was unpacked", path=archive.name, row=_shown(member.filename))
        seen.add(member.filename.casefold())
    unpacked, packed = sum(each.file_size for each in members), max(1, archive.stat().st_size)
    if unpacked > SMALL and unpacked > SUSPICIOUS_RATIO * packed:
        raise DataError(
            f"would unpack from {packed:,} to {unpacked:,} bytes, like a decompression bomb; nothing was unpacked",
            path=archive.name,
        )
    free = shutil.disk_usage(archive.parent).free
    if unpacked > free:
        raise DataError(f"needs {unpacked:,} bytes unpacked, and {free:,} are free", path=archive.name)


def _shown(name: str) -> str:
    return repr(name if len(name) <= SHOWN else name[:SHOWN] + "…")


def _problem(member: zipfile.ZipInfo) -> str | None:
    """Why a member must not be unpacked."""
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "is a link or a device"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\\" in name:
        return "has an absolute path or a backslash"
    parts = PurePosixPath(name).parts
    if ".." in parts or not parts:
        return "points out of the folder"
    if len(parts) > DEEPEST:
        return f"lies {len(parts) - 1:,} folders deep"
    if any(ord(char) < 32 for char in name):
        return "has control characters in its name"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return None


def _extract(packed: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, archive: Path) -> Path:
    """Write one file; its length and checksum must be those of the archive's directory."""
    relative = Path(*PurePosixPath(member.filename).parts)
    target, left = folder / relative, member.file_size
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    except OSError as error:  # a name that is too long, or a folder where another member is a file
        raise DataError(
            f"cannot be unpacked: {error.strerror}", path=archive.name, row=_shown(member.filename)
        ) from None
    with file:
        for chunk in _chunks(packed, member, archive):
            left -= len(chunk)
            if left < 0:
                break
            file.write(chunk)
    if left:
        raise DataError("does not have the length that the archive states", path=archive.name, row=member.filename)
    return relative


def _chunks(packed: zipfile.ZipFile, member: zipfile.ZipInfo, archive: Path) -> Iterator[bytes]:
    with _reading(archive):
        source = packed.open(member)
    with source:
        while True:
            with _reading(archive):
                chunk = source.read(CHUNK)
            if not chunk:
                return
            yield chunk
