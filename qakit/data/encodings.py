"""Texts -> flat arrays of token ids and character offsets, as fast as the tokenizer allows."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Bools, Int32, Int64, pointers_of
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


MARKS = ("Mn", "Mc", "Me")
"""Unicode's categories of marks; variation selectors are among the first."""
JOINS = range(0x200D, 0x200E)
"""The zero width joiner (of emoji, of Indic scripts)."""
TAGS = range(0xE0020, 0xE0080)
"""Tag characters, which follow a flag emoji."""
CODES = 0x110000


def with_marks(texts: Sequence[str], encoded: Encoded) -> Encoded:
    """The tokens of ``texts``, each reaching over the marks that follow it and that no token covers.

    Tokenizers that strip accents, compose characters or drop control characters give no token for an accent, a vowel
    sign or a joiner after a letter. An answer that ends with that letter would be cut without its mark: "Zoe" for
    "Zoë". Tokens without characters stay as they are.

    Args:
        texts: K texts.
        encoded: their tokens, with offsets as the tokenizer gives them.
    """
    if all(map(str.isascii, texts)):
        return encoded
    begin = pointers_of(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1)[:-1]
    whole = "\n".join(texts) + "\n"  # a line end is no mark: no run of marks reaches into the next text
    mark = _are_marks(np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), np.uint32))
    if not mark.any():
        return encoded
    shift = np.repeat(begin, encoded.lengths)
    start, end = encoded.offsets[:, 0] + shift, encoded.offsets[:, 1] + shift
    opened = np.bincount(start, minlength=len(mark)) - np.bincount(end, minlength=len(mark))
    loose = mark & (np.cumsum(opened) == 0)
    edges = np.diff(loose.astype(np.int8), prepend=0)  # the last character is a line end
    run_start, run_stop = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    following = np.zeros(len(mark), np.int32)
    following[run_start] = run_stop - run_start
    offsets = encoded.offsets.copy()
    offsets[:, 1] += np.where(end > start, following[end], 0)
    return replace(encoded, offsets=offsets)


def _are_marks(codes: NDArray[np.uint32]) -> Bools:
    """Which characters are marks, shape as ``codes``; each distinct one is looked up once."""
    table = np.zeros(CODES, bool)
    table[codes] = True
    for code in np.flatnonzero(table).tolist():
        table[code] = unicodedata.category(chr(code)) in MARKS or code in JOINS or code in TAGS
    return table[codes]
