"""A letter keeps its marks: what a tokenizer drops belongs to the token before it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qakit.data.encode import encode
from qakit.data.encodings import Encoded, with_marks
from qakit.data.store import build_store
from qakit.values import Answer, Example

NFD = unicodedata.normalize("NFD", "Zoë")
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
HEART = "\u2764\ufe0f"
FLAG = "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in "gbeng") + "\U000e007f"
WORDS = [
    "आगरा", "में", "हिन्दी", "की", "क\u094d\u200d", "مُحَمَّد", "كِتَابٌ", "ไทย", "ที่", NFD, "Zoe",
    "e\u0301\u0323", HEART, FAMILY, FLAG, "台北", "가각", "1\u20e3",
]  # fmt: skip


def strips_accents() -> PreTrainedTokenizerFast:
    """A character for a token; marks and control characters are dropped, as by every uncased BERT."""
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "z": 1, "##o": 2, "##e": 3}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def reached(texts: Sequence[str], *offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    flat = np.array([offset for text in offsets for offset in text], np.int32).reshape(-1, 2)
    encoded = Encoded(np.zeros(len(flat), np.int32), flat, np.array([len(text) for text in offsets], np.int64))
    return [(int(start), int(end)) for start, end in with_marks(texts, encoded).offsets]


@pytest.mark.parametrize(
    "text", ["e\u0301", "e\u0301\u0323", "का", "1\u20e3", "\u2764\ufe0f", "क\u094d\u200d", FLAG], ids=ascii
)
def test_the_last_token_takes_in_the_marks_that_follow(text: str) -> None:
    assert reached([text + " x"], [(0, 1)]) == [(0, len(text))]


def test_marks_of_other_tokens_stay_theirs() -> None:
    assert reached(["e\u0301\u0323x"], [(0, 1), (2, 3), (3, 4)]) == [(0, 2), (2, 3), (3, 4)]


def test_a_mark_that_follows_no_token_belongs_to_none() -> None:
    assert reached(["e \u0301x"], [(0, 1), (3, 4)]) == [(0, 1), (3, 4)]


def test_no_mark_goes_to_another_text() -> None:
    assert reached(["e", "\u0301x", "y"], [(0, 1)], [(1, 2)], []) == [(0, 1), (1, 2)]


def test_all_bytes_of_a_letter_take_them_in_and_tokens_without_characters_do_not() -> None:
    assert reached(["e\u0301"], [(0, 0), (0, 1), (0, 1), (1, 1)]) == [(0, 0), (0, 2), (0, 2), (1, 1)]


def by_the_rule(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    covered = {at for start, end in offsets for at in range(start, end)}
    found = []
    for start, end in offsets:
        stop = end
        while start < end and stop < len(text) and stop not in covered and unicodedata.category(text[stop])[0] == "M":
            stop += 1
        found.append((start, stop))
    return found


spans = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: (min(pair), max(pair))), max_size=5)
letters = st.text(st.sampled_from("ab \u0301\u093e\u20e3\ufe0f台"), max_size=9)


@given(texts=st.lists(st.tuples(letters, spans), min_size=1, max_size=4))
def test_the_rule_for_any_texts_and_offsets(texts: list[tuple[str, list[tuple[int, int]]]]) -> None:
    cut = [(text, [(a, b) for a, b in offsets if b <= len(text)]) for text, offsets in texts]
    expected = [pair for text, offsets in cut for pair in by_the_rule(text, offsets)]
    assert reached([text for text, _ in cut], *(offsets for _, offsets in cut)) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), data=st.data())
def test_words_of_any_script_are_cut_whole(
    make_tokenizer: Callable[[str], PreTrainedTokenizerFast], words: list[str], data: st.DataObject
) -> None:
    """Whichever words are the answer, its tokens' offsets cut it from the text, in every style of tokenizer."""
    style = data.draw(st.sampled_from(["bert", "roberta", "modernbert", "xlm_roberta", "deberta_v3"]))
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    start = sum(len(word) + 1 for word in words[:first])
    text, answer = " ".join(words), " ".join(words[first : last + 1])
    target = Answer(answer, start=start)
    encoded = encode([Example("q", "?", (text,), (target,))], make_tokenizer(style))
    own = encoded.store.offsets[encoded.store.pointers[encoded.context[0]] :]
    cut = text[own[encoded.answer_first[0], 0] : own[encoded.answer_stop[0] - 1, 1]]
    assert cut.strip() == answer


def test_a_store_of_many_texts_equals_that_of_each(tmp_path: Path) -> None:
    """Also by words, from the cache, and with a lone surrogate."""
    texts = [f"{word} {NFD} {number} \ud800 में" for number, word in enumerate(WORDS * 60)]
    tokenizer = strips_accents()
    store, rows = build_store(texts, tokenizer, cache=tmp_path)
    assert "में" in {texts[-1][start:end] for start, end in store.offsets[-3:].tolist()}
    for text, row in zip(texts[:40], rows[:40].tolist(), strict=True):
        alone, _ = build_store([text], tokenizer)
        assert store.offsets[store.pointers[row] : store.pointers[row + 1]].tolist() == alone.offsets.tolist()
