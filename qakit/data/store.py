"""Every distinct text, tokenised once: flat ids, character offsets and row pointers, memory-mapped from a cache."""

from __future__ import annotations

import json
import logging
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Int32, Int64, pointers_of
from qakit.data.cache import TOKENS, check_own, mark_used, open_room, prune
from qakit.data.encodings import Encoded, joined, tokenise, with_marks
from qakit.data.template import kept_copy
from qakit.data.words import splits_into_words, tokenise_by_words
from qakit.files import temporary_folder
from qakit.numbers import load_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


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


logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (texts done, texts in all)."""

MANY_CHARACTERS = 20_000
"""From here on it pays to tokenise by words; before, its tables cost more than they save."""


@dataclass(frozen=True, slots=True)
class TokenStore:
    """R texts with M tokens in all.

    Attributes:
        ids: (M,) int32 token ids, without special tokens.
        offsets: (M, 2) int32 character start and end (exclusive) of each token in its raw text, with the marks that
            follow it; see :func:`qakit.data.encodings.with_marks`.
        pointers: (R + 1,) int64; the tokens of row r are [pointers[r], pointers[r + 1]).
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int32]
    pointers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pointers) - 1

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(R,) tokens of each text."""
        return np.diff(self.pointers).astype(np.int32)


def build_store(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> tuple[TokenStore, NDArray[np.int32]]:
    """Tokenise each distinct text once, or take the tokens from the cache.

    The tokens and offsets are those that ``tokenizer(question, context)`` gives each of the two texts, without special
    tokens, but for marks that it drops: they belong to the token before them. The tokenizer itself is not changed. Lone
    surrogates, which no tokenizer accepts, count as U+FFFD.

    Args:
        texts: any number of texts, repeated or not.
        cache: a folder (see :func:`qakit.data.cache.default_cache`); None keeps everything in memory.
        progress: called after each chunk.

    Returns:
        The store, with its rows in the order of first occurrence, and the row of each text, int32.

    Raises:
        ModelError: the tokenizer gives no character offsets.
    """
    rows: dict[str, int] = {}
    row_of_text = np.fromiter((rows.setdefault(text, len(rows)) for text in texts), dtype=np.int32)
    distinct = list(rows)
    kept = kept_copy(tokenizer)
    backend = kept.backend
    if cache is None:
        return _in_memory(_tokenise(distinct, backend, progress)), row_of_text
    folder = cache / TOKENS / content_key(kept.fingerprint, distinct)
    try:
        check_own(cache, TOKENS)
        arrays = load(folder)
        if arrays is None:
            open_room(cache, TOKENS)
            arrays = publish(folder, lambda parts: _to_files(_tokenise(distinct, backend, progress), parts))
            prune(cache, keep=folder)
    except OSError as error:  # a full or read-only disk is no reason not to train
        logger.warning("the token cache %s cannot be used (%s); tokens stay in memory", cache, error)
        return _in_memory(_tokenise(distinct, backend, progress)), row_of_text
    return TokenStore(arrays.ids, arrays.offsets, arrays.pointers), row_of_text


def _tokenise(texts: Sequence[str], backend: Tokenizer, progress: Progress | None) -> Iterator[Encoded]:
    """The tokens of ``texts`` in order, a bounded chunk at a time."""
    many = sum(map(len, texts)) >= MANY_CHARACTERS
    method = tokenise_by_words if many and splits_into_words(backend) else tokenise
    done = 0
    for chunk in method(texts, backend):
        begin, done = done, done + len(chunk.lengths)
        yield with_marks(texts[begin:done], chunk)
        if progress is not None:
            progress(done, len(texts))


def _in_memory(chunks: Iterable[Encoded]) -> TokenStore:
    whole = joined(list(chunks))
    return TokenStore(whole.ids, whole.offsets, pointers_of(whole.lengths))


def _to_files(chunks: Iterable[Encoded], files: Files) -> None:
    """Write the chunks as they come, so that only one of them is in memory."""
    total = 0
    files.pointers.write(np.zeros(1, np.int64).tobytes())
    for chunk in chunks:
        files.ids.write(chunk.ids.tobytes())
        files.offsets.write(chunk.offsets.tobytes())
        files.pointers.write((total + chunk.lengths.cumsum(dtype=np.int64)).tobytes())
        total += int(chunk.lengths.sum())
