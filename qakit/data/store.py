"""Every distinct text, tokenised once: flat ids, character offsets and row pointers, memory-mapped from a cache."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qakit.data import cache as caches
from qakit.data.template import backend_copy, fingerprint

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (texts done, texts in all)."""

CHUNK_TEXTS = 2048
CHUNK_CHARACTERS = 500_000
"""How much is tokenised at a time: a token takes some 200 bytes until it lies in the arrays."""

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class TokenStore:
    """R texts with M tokens in all.

    Attributes:
        ids: (M,) int32 token ids, without special tokens.
        offsets: (M, 2) int32 character start and end (exclusive) of each token in its raw text.
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


@dataclass(frozen=True, slots=True)
class _Chunk:
    ids: NDArray[np.int32]
    offsets: NDArray[np.int32]
    lengths: NDArray[np.int64]


def build_store(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> tuple[TokenStore, NDArray[np.int32]]:
    """Tokenise each distinct text once, or take the tokens from the cache.

    The tokens and offsets are those that ``tokenizer(question, context)`` gives each of the two texts, without special
    tokens. The tokenizer itself is not changed. Lone surrogates, which no tokenizer accepts, count as U+FFFD.

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
    backend = backend_copy(tokenizer)
    if cache is None:
        return _in_memory(_tokenise(distinct, backend, progress)), row_of_text
    folder = cache / caches.content_key(fingerprint(backend), distinct)
    try:
        arrays = caches.load(folder)
        if arrays is None:
            arrays = caches.publish(folder, lambda parts: _to_files(_tokenise(distinct, backend, progress), parts))
    except OSError as error:  # a full or read-only disk is no reason not to train
        logger.warning("the token cache %s cannot be used (%s); tokens stay in memory", cache, error)
        return _in_memory(_tokenise(distinct, backend, progress)), row_of_text
    return TokenStore(arrays.ids, arrays.offsets, arrays.pointers), row_of_text


def _tokenise(texts: Sequence[str], backend: Tokenizer, progress: Progress | None) -> Iterator[_Chunk]:
    """The tokens of ``texts`` in order, a bounded chunk at a time."""
    done = 0
    for chunk in _chunks(texts):
        encodings = backend.encode_batch(chunk, add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        total = int(lengths.sum())
        pairs = itertools.chain.from_iterable(encoding.offsets for encoding in encodings)
        offsets = np.fromiter(itertools.chain.from_iterable(pairs), dtype=np.int32, count=2 * total)
        yield _Chunk(
            ids=np.fromiter(itertools.chain.from_iterable(ids), dtype=np.int32, count=total),
            offsets=offsets.reshape(total, 2),
            lengths=lengths,
        )
        done += len(chunk)
        if progress is not None:
            progress(done, len(texts))


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(_SURROGATE.sub("\ufffd", text))
        characters += len(text)
        if len(chunk) == CHUNK_TEXTS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _in_memory(chunks: Iterable[_Chunk]) -> TokenStore:
    parts = list(chunks)
    return TokenStore(
        ids=np.concatenate([np.zeros(0, np.int32), *(part.ids for part in parts)]),
        offsets=np.concatenate([np.zeros((0, 2), np.int32), *(part.offsets for part in parts)]),
        pointers=np.concatenate([np.zeros(1, np.int64), *(part.lengths for part in parts)]).cumsum(dtype=np.int64),
    )


def _to_files(chunks: Iterable[_Chunk], files: caches.Files) -> None:
    """Write the chunks as they come, so that only one of them is in memory."""
    total = 0
    files.pointers.write(np.zeros(1, np.int64).tobytes())
    for chunk in chunks:
        files.ids.write(chunk.ids.tobytes())
        files.offsets.write(chunk.offsets.tobytes())
        files.pointers.write((total + chunk.lengths.cumsum(dtype=np.int64)).tobytes())
        total += int(chunk.lengths.sum())
