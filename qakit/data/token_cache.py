"""The token cache: one folder per (tokenizer, texts), written whole or not at all, checked before it is used."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Int32, Int64
from qakit.data.cache import mark_used
from qakit.files import temporary_folder
from qakit.numbers import load_json

FORMAT = 2
"""Part of the key: raise it when the files change their meaning."""
MANIFEST = "manifest.json"
PARTS: dict[str, tuple[type[np.generic], int]] = {
    "ids": (np.int32, 1),
    "offsets": (np.int32, 2),
    "pointers": (np.int64, 1),
}
"""The files' names, number types and columns; raw numbers in the machine's byte order."""


@dataclass(frozen=True, slots=True)
class Files:
    """The open files of an entry that is being written."""

    ids: BinaryIO
    offsets: BinaryIO
    pointers: BinaryIO


@dataclass(frozen=True, slots=True)
class Arrays:
    """The memory-mapped arrays of an entry; shapes as in ``TokenStore``."""

    ids: Int32
    offsets: Int32
    pointers: Int64


def content_key(tokenizer: str, texts: Iterable[str]) -> str:
    """The name of an entry: a hash of the tokenizer's fingerprint and the texts in their order."""
    digest = blake2b(f"{FORMAT} {sys.byteorder} {tokenizer}".encode(), digest_size=16)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))  # otherwise ["ab", "c"] would be ["a", "bc"]
        digest.update(encoded)
    return digest.hexdigest()


def load(folder: Path) -> Arrays | None:
    """The entry's arrays, or None when it is missing, truncated or damaged."""
    try:
        manifest = load_json((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest != _manifest(folder):
            return None
        mark_used(folder)
        return Arrays(**{name: _map(folder / name, *shape) for name, shape in PARTS.items()})
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: not JSON, or not UTF-8
        return None


def publish(folder: Path, write: Callable[[Files], None]) -> Arrays:
    """Write an entry beside its place and move it there; if another process was faster, use that one's.

    Raises:
        OSError: as the file system says (disk full, read-only).
    """
    with temporary_folder(folder) as temporary:
        entry = temporary / "entry"
        entry.mkdir()
        with ExitStack() as stack:
            write(Files(**{name: stack.enter_context((entry / name).open("wb")) for name in PARTS}))
        (entry / MANIFEST).write_text(json.dumps(_manifest(entry)), encoding="utf-8")
        try:
            entry.rename(folder)
        except OSError:
            if (arrays := load(folder)) is not None:
                return arrays
            # A damaged entry: out of the way with it. Readers that mapped it keep their mapping.
            with suppress(FileNotFoundError):
                folder.rename(temporary / "damaged")
            with suppress(OSError):  # again another process: the same content
                entry.rename(folder)
        arrays = load(folder)
        if arrays is None:
            raise OSError(f"{folder} does not read back as it was written")
        return arrays


def _manifest(folder: Path) -> dict[str, Any]:
    """Size and checksum of each file."""
    return {name: _checksum(folder / name) for name in PARTS}


def _checksum(path: Path) -> list[int]:
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return [size, crc]


def _map(path: Path, dtype: type[np.generic], columns: int) -> NDArray[Any]:
    shape = (-1,) if columns == 1 else (-1, columns)
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype).reshape(shape)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r")).reshape(shape)
