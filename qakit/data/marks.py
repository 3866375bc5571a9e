"""Combining marks that a tokenizer drops: they belong to the letter before them, and so to its token."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Bools
from qakit.data.encodings import Encoded
from qakit.data.ragged import pointers_of

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
