"""Every distinct text, tokenised once: flat ids, character offsets and row pointers, memory-mapped from a cache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qakit.data import token_cache
from qakit.data.cache import TOKENS, check_own, open_room, prune
from qakit.data.encodings import Encoded, joined, tokenise
from qakit.data.marks import with_marks
from qakit.data.ragged import pointers_of
from qakit.data.template import kept_copy
from qakit.data.words import splits_into_words, tokenise_by_words

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

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
            follow it; see :func:`qakit.data.marks.with_marks`.
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
    folder = cache / TOKENS / token_cache.content_key(kept.fingerprint, distinct)
    try:
        check_own(cache, TOKENS)
        arrays = token_cache.load(folder)
        if arrays is None:
            open_room(cache, TOKENS)
            arrays = token_cache.publish(folder, lambda parts: _to_files(_tokenise(distinct, backend, progress), parts))
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


def _to_files(chunks: Iterable[Encoded], files: token_cache.Files) -> None:
    """Write the chunks as they come, so that only one of them is in memory."""
    total = 0
    files.pointers.write(np.zeros(1, np.int64).tobytes())
    for chunk in chunks:
        files.ids.write(chunk.ids.tobytes())
        files.offsets.write(chunk.offsets.tobytes())
        files.pointers.write((total + chunk.lengths.cumsum(dtype=np.int64)).tobytes())
        total += int(chunk.lengths.sum())
