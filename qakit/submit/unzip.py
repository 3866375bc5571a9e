"""Unpacking an archive that somebody else made: nothing outside the folder, no links, no bombs."""

from __future__ import annotations

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from qakit.errors import DataError
from qakit.names import one_line, shortened

MOST_FILES = 200_000
DEEPEST = 64
"""Parts of a member's path; data lies far above."""
SHOWN = 100
"""Characters of a member's name in a message."""
SUSPICIOUS_RATIO = 200
"""Unpacked to packed bytes; text and tables stay far below."""
SMALL = 64 << 20
"""Bytes up to which an archive may unpack to, whatever the ratio."""


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack into an empty folder; returns the files, relative to it, in the archive's order.

    Raises:
        DataError: the archive is damaged, or holds what it must not; files may have been written by then.
    """
    home = folder.resolve()
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [each for each in packed.infolist() if not each.is_dir()]
            _check(members, archive)
            return [Path(packed.extract(member, home)).relative_to(home) for member in members]
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise DataError(f"cannot be unpacked ({why}): is it damaged or cut off?", path=archive.name) from None


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
            raise DataError(
                f"{problem}; nothing was unpacked", path=archive.name, row=repr(shortened(member.filename, SHOWN))
            )
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
    return None
