"""BERT's tokenizers, several times faster: each distinct word of many texts is tokenised once.

BERT's normaliser and pre-tokenizer look at one character at a time, and WordPiece at one word. So a text falls apart at
every character that is a word of its own (a Chinese one, a punctuation mark) or a blank, the pieces can be tokenised
one by one, and the same piece always gives the same tokens. Which characters those are is asked of the tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from qakit.data.arrays import Int32, Int64, pointers_of, ranges
from qakit.data.encodings import Encoded, chunks, joined, tokenise

CHUNK_CHARACTERS = 2_000_000
"""How much is cut into pieces at a time: some 50 bytes for a character."""
CODES = 0x110000
CHINESE = slice(0x4E00, 0xA000)
"""CJK unified ideographs, which BERT's normaliser treats all alike."""

INSIDE, ALONE, BLANK = 0, 1, 2
"""What a character is: part of a longer piece, a piece of its own, or part of none."""


def splits_into_words(backend: Tokenizer) -> bool:
    """Whether :func:`tokenise_by_words` gives what the tokenizer itself gives."""
    return (
        isinstance(backend.normalizer, BertNormalizer)
        and isinstance(backend.pre_tokenizer, BertPreTokenizer)
        and isinstance(backend.model, WordPiece)
        and not any(token.normalized for token in backend.get_added_tokens_decoder().values())
    )


def tokenise_by_words(texts: Iterable[str], backend: Tokenizer) -> Iterator[Encoded]:
    """The tokens of ``texts`` in order, a bounded chunk at a time; the same as :func:`tokenise` gives."""
    added = [token.content for token in backend.get_added_tokens_decoder().values()]
    marks = re.compile("|".join(map(re.escape, added)) if added else "(?!)")
    for chunk in chunks(texts, CHUNK_CHARACTERS, CHUNK_CHARACTERS):
        yield _tokenise_chunk(chunk, backend, marks)


def _tokenise_chunk(texts: Sequence[str], backend: Tokenizer, marks: re.Pattern[str]) -> Encoded:
    whole = "".join(texts)
    codes = np.frombuffer(whole.encode("utf-32-le"), np.uint32)
    begin = pointers_of(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))
    kind = _kinds(codes, backend)
    for i, text in enumerate(texts):
        if marks.search(text):  # a written "[SEP]" is one token: such a text stays in one piece
            kind[begin[i] : begin[i + 1]] = INSIDE

    # Pieces: characters of their own, and runs of others that a text's ends, blanks and the former interrupt.
    inside = kind == INSIDE
    opens = inside.copy()
    opens[1:] &= ~inside[:-1]
    first_of_text = begin[:-1][begin[:-1] < begin[1:]]
    opens[first_of_text] = inside[first_of_text]
    closes = inside.copy()
    closes[:-1] &= ~inside[1:] | opens[1:]
    start = np.flatnonzero(opens | (kind == ALONE))  # (P,)
    is_run = inside[start]

    alone_codes, alone_rank = _distinct(codes[start[~is_run]])
    words: dict[str, int] = {}
    runs = zip(start[is_run].tolist(), (np.flatnonzero(closes) + 1).tolist(), strict=True)
    run_rank = [words.setdefault(whole[a:b], len(words)) for a, b in runs]
    piece = np.empty(len(start), np.int64)
    piece[~is_run] = alone_rank
    piece[is_run] = np.array(run_rank, dtype=np.int64) + len(alone_codes)
    known = joined(list(tokenise([*map(chr, alone_codes.tolist()), *words], backend)))

    tokens = known.lengths[piece]  # (P,) how many each piece gives
    source = ranges(pointers_of(known.lengths)[piece], tokens)
    text_of = np.searchsorted(begin, start, side="right") - 1
    shift = np.repeat((start - begin[text_of]).astype(np.int32), tokens)
    return Encoded(
        ids=known.ids[source],
        offsets=known.offsets[source] + shift[:, None],
        lengths=np.bincount(text_of, weights=tokens, minlength=len(texts)).astype(np.int64),
    )


def _kinds(codes: NDArray[np.uint32], backend: Tokenizer) -> NDArray[np.uint8]:
    """What each character is, shape as ``codes``."""
    present = np.zeros(CODES, bool)
    present[codes] = True
    present[CHINESE] = False
    present[CHINESE.start] = True  # stands for its block
    asked = np.flatnonzero(present)
    kind = np.full(CODES, INSIDE, np.uint8)
    kind[asked] = _ask(list(map(chr, asked.tolist())), backend)
    kind[CHINESE] = kind[CHINESE.start]
    return kind[codes]


def _ask(characters: Sequence[str], backend: Tokenizer) -> list[int]:
    """What each character is, by how the tokenizer splits it from two letters around it."""
    text = "a" + "a".join(characters) + "a"
    encoding = backend.encode(text, add_special_tokens=False)
    word = [-1] * len(text)
    for (start, end), number in zip(encoding.offsets, encoding.word_ids, strict=True):
        word[start:end] = [-1 if number is None else number] * (end - start)
    kinds = []
    for character, left, middle, right in zip(characters, word[:-1:2], word[1::2], word[2::2], strict=True):
        if min(left, right) < 0 or left == right or middle in (left, right) or unicodedata.combining(character):
            kinds.append(INSIDE)
        else:
            kinds.append(ALONE if middle >= 0 else BLANK)
    return kinds


def _distinct(codes: NDArray[np.uint32]) -> tuple[Int64, Int32]:
    """The distinct code points, ascending, and the rank of each in ``codes`` among them (no sorting)."""
    present = np.zeros(CODES, bool)
    present[codes] = True
    distinct = np.flatnonzero(present)
    rank = np.zeros(CODES, np.int32)
    rank[distinct] = np.arange(len(distinct))
    return distinct, rank[codes]
