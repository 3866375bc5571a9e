"""Documents as windows of one text each, and where words begin in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qakit.data.arrays import Bools, Int64, ranges
from qakit.data.encode import EncodedExamples
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows

WITHOUT_SPACES = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u3190-\u31ff\uff66-\uff9f"
    r"\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Scripts written without spaces: Thai and Lao, Myanmar, Khmer, kana and bopomofo, then ideographs. The same as where
the clean-up ``trim_to_tokens`` knows no words, which adds Hangul."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A preprocessor whose windows are there already."""

    made: Windows

    @property
    def redraws(self) -> bool:
        return False

    def windows(self, _encoded: EncodedExamples, *, epoch: int) -> Windows:  # noqa: ARG002
        """The same in every epoch."""
        return self.made


def pieces(encoded: EncodedExamples, *, room: int) -> Windows:
    """Every context cut into as few windows of at most ``room`` tokens as can be, of nearly equal length."""
    length = encoded.context_lengths.astype(np.int64)  # (P,)
    count = -(-length // room)
    pair = np.repeat(np.arange(len(length)), count)
    number = ranges(np.zeros(len(count), np.int64), count)
    first = number * length[pair] // count[pair]
    stop = (number + 1) * length[pair] // count[pair]
    nowhere = np.full(len(pair), -1)
    return Windows.single(
        example=encoded.pair_example[pair],
        query_stop=np.zeros(len(pair), np.int64),
        pair=pair,
        first=first,
        stop=stop,
        answer_first=nowhere,
        answer_stop=nowhere,
    )


def chosen(windows: Windows, rows: Int64) -> Windows:
    """Some of the windows, which have one segment each."""
    return Windows.single(
        example=windows.example[rows],
        query_stop=windows.query_stop[rows],
        pair=windows.pair[rows],
        first=windows.first[rows],
        stop=windows.stop[rows],
        answer_first=windows.answer_first[rows],
        answer_stop=windows.answer_stop[rows],
    )


def single_text(template: PairTemplate) -> PairTemplate:
    """The template of a text without a question: ``[CLS] text [SEP]``, as pretraining knows it."""
    return replace(
        template,
        middle=(),
        middle_types=(),
        suffix_types=tuple(
            template.question_type if kind == template.context_type else kind for kind in template.suffix_types
        ),
        context_type=template.question_type,
    )


def word_begins(encoded: EncodedExamples, texts: Sequence[str]) -> Bools:
    """(M,) whether each token of the store begins a word; ``texts`` are those of the contexts, one for each pair.

    A word is a run of letters and digits, whatever the tokenizer makes of it. In scripts without spaces between words
    each token is one: with BERT's tokenizers, each Chinese character. Tokens that share a character, such as the bytes
    of a byte-level BPE, are never parted.
    """
    store = encoded.store
    begins = np.ones(len(store.ids), bool)
    for text, row in zip(texts, encoded.context.tolist(), strict=True):
        low, high = int(store.pointers[row]), int(store.pointers[row + 1])
        inside = _inside_words(text)
        start, end = store.offsets[low:high, 0], store.offsets[low:high, 1]
        at = np.minimum(start[1:], len(text) - 1)
        touches = (start[1:] == end[:-1]) & (end[:-1] > 0)
        shares = (start[1:] < end[:-1]) & (start[1:] < end[1:])  # a token of no characters shares none
        begins[low + 1 : high] = ~(shares | (touches & inside[at] & inside[np.maximum(at - 1, 0)]))
    return begins


def holds_word(encoded: EncodedExamples, texts: Sequence[str]) -> Bools:
    """(M,) whether each token of the store holds a letter or a digit, or a part of one; ``texts`` as above."""
    store = encoded.store
    found = np.zeros(len(store.ids), bool)
    for text, row in zip(texts, encoded.context.tolist(), strict=True):
        low, high = int(store.pointers[row]), int(store.pointers[row + 1])
        before = np.cumsum([0, *map(str.isalnum, text)])
        found[low:high] = before[store.offsets[low:high, 1]] > before[store.offsets[low:high, 0]]
    return found


def _inside_words(text: str) -> Bools:
    """(characters,) letters, digits and marks of scripts that put spaces between words."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    known, place = np.unique(codes, return_inverse=True)
    inside = np.array([_joins(int(code)) for code in known], bool)
    return inside[place]


def _joins(code: int) -> bool:
    return not WITHOUT_SPACES.match(chr(code)) and unicodedata.category(chr(code))[0] in "LMN"
