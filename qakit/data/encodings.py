"""Texts -> flat arrays of token ids and character offsets, as fast as the tokenizer allows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qakit.data.arrays import Int32, Int64
from qakit.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

CHUNK_TEXTS = 1024
CHUNK_CHARACTERS = 100_000
"""How much the library tokenises at a time: a token takes some 200 bytes until it lies in the arrays, and small chunks
stay in the processor's cache."""

_PANIC = "PanicException"
"""The name of what a panic in Rust raises; the class itself cannot be imported."""
_SHOWN = 60
"""Characters of a text in a message."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Encoded:
    """The tokens of K texts, one text after the other.

    Attributes:
        ids: (M,) int32 token ids, without special tokens.
        offsets: (M, 2) int32 character start and end (exclusive) within the text.
        lengths: (K,) int64 tokens of each text.
    """

    ids: Int32
    offsets: Int32
    lengths: Int64


def tokenise(texts: Iterable[str], backend: Tokenizer) -> Iterator[Encoded]:
    """The tokens of ``texts`` in order, a bounded chunk at a time.

    While one chunk is turned into arrays, the next is tokenised in a thread: the library releases Python's lock.

    Raises:
        DataError: the tokenizer fails on a text.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming: Future[list[Encoding]] | None = None
        for chunk in chunks(texts, CHUNK_TEXTS, CHUNK_CHARACTERS):
            ready, coming = coming, pool.submit(_encode, chunk, backend)
            if ready is not None:
                yield _arrays(ready.result())
        if coming is not None:
            yield _arrays(coming.result())


def _encode(texts: Sequence[str], backend: Tokenizer) -> list[Encoding]:
    """The library's encodings; one text that its patterns give up on does not end the process."""
    try:
        return backend.encode_batch(texts, add_special_tokens=False)
    except BaseException as panic:  # a panic in Rust is no Exception
        if type(panic).__name__ != _PANIC:
            raise
        if len(texts) > 1:
            return [encoding for text in texts for encoding in _encode([text], backend)]
        shown = repr(texts[0] if len(texts[0]) <= _SHOWN else texts[0][:_SHOWN] + "…")
        raise DataError(
            f"the tokenizer fails on a text of {len(texts[0]):,} characters ({panic}): shorten or leave out {shown}"
        ) from None


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Several chunks as one."""
    return Encoded(
        ids=np.concatenate([np.zeros(0, np.int32), *(part.ids for part in parts)]),
        offsets=np.concatenate([np.zeros((0, 2), np.int32), *(part.offsets for part in parts)]),
        lengths=np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in parts)]),
    )


def chunks(texts: Iterable[str], most_texts: int, most_characters: int) -> Iterator[list[str]]:
    """``texts`` in lists of bounded size (a longer text is a list of its own).

    Lone surrogates, which the library refuses, become U+FFFD; lengths stay the same.
    """
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(_SURROGATE.sub("\ufffd", text))
        characters += len(text)
        if len(chunk) == most_texts or characters >= most_characters:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _arrays(encodings: Sequence[Encoding]) -> Encoded:
    ids = [encoding.ids for encoding in encodings]
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    total = int(lengths.sum())
    pairs = itertools.chain.from_iterable(encoding.offsets for encoding in encodings)
    offsets = np.fromiter(itertools.chain.from_iterable(pairs), dtype=np.int32, count=2 * total)
    return Encoded(
        ids=np.fromiter(itertools.chain.from_iterable(ids), dtype=np.int32, count=total),
        offsets=offsets.reshape(total, 2),
        lengths=lengths,
    )
