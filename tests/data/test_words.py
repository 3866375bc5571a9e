"""Tokenising by words gives what the tokenizer itself gives, for BERT's family and for nobody else."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from qakit.data.encodings import Encoded, joined, tokenise
from qakit.data.template import backend_copy
from qakit.data.words import splits_into_words, tokenise_by_words

OPTIONS = [
    {},
    {"lowercase": False},
    {"lowercase": False, "strip_accents": True},
    {"strip_accents": False},
    {"handle_chinese_chars": False},
    {"clean_text": False},
]
ODD = [
    "[SEP]",
    "[sep]",
    "[MASK]x",
    "\u0301",
    "中",
    "。",
    "«",
    "'",
    " ",
    "\n",
    "\u3000",
    "\u200b",
    "\0",
    "don't",
    "İ",
    "각",
]
characters = st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"]), st.text("abAé ", max_size=5))
texts = st.lists(st.lists(characters, max_size=20).map("".join), max_size=6)


@pytest.fixture(params=OPTIONS, ids=str)
def backend(request: pytest.FixtureRequest, bert_tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    backend = backend_copy(bert_tokenizer)
    backend.normalizer = normalizers.BertNormalizer(**request.param)
    return backend


def assert_same(ours: Encoded, theirs: Encoded) -> None:
    assert ours.lengths.tolist() == theirs.lengths.tolist()
    assert ours.ids.tolist() == theirs.ids.tolist()
    assert ours.offsets.tolist() == theirs.offsets.tolist()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=texts)
def test_any_text(backend: Tokenizer, texts: list[str]) -> None:
    assert_same(joined(list(tokenise_by_words(texts, backend))), joined(list(tokenise(texts, backend))))


def test_every_character_of_the_basic_plane(backend: Tokenizer) -> None:
    alphabet = [chr(code) for code in range(0xFFFF) if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")]
    alphabet = [c for c in alphabet if not ("\uac10" < c < "\ud7a0" or "\u4e20" < c < "\u9ff0")]  # more of the same
    texts = ["b".join(alphabet[i : i + 50]) + " " + "".join(alphabet[i : i + 50]) for i in range(0, len(alphabet), 50)]
    assert_same(joined(list(tokenise_by_words(texts, backend))), joined(list(tokenise(texts, backend))))


def test_special_tokens_as_text(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    backend = backend_copy(bert_tokenizer)
    texts = ["a [SEP] b", "[CLS]中[MASK]", "no mark"]
    for as_text in (False, True):
        backend.encode_special_tokens = as_text
        assert_same(joined(list(tokenise_by_words(texts, backend))), joined(list(tokenise(texts, backend))))


def test_only_for_berts_family(make_tokenizer: Callable[[str], PreTrainedTokenizerFast]) -> None:
    assert splits_into_words(backend_copy(make_tokenizer("bert")))
    for style in ("roberta", "modernbert", "xlm_roberta", "deberta_v3"):
        assert not splits_into_words(backend_copy(make_tokenizer(style)))


def test_not_with_added_tokens_that_are_looked_for_after_normalising(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    backend = backend_copy(bert_tokenizer)
    backend.add_tokens(["newword"])
    assert not splits_into_words(backend)


def test_no_texts(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    backend = backend_copy(bert_tokenizer)
    assert joined(list(tokenise_by_words([], backend))).ids.shape == (0,)
    empty = joined(list(tokenise_by_words(["", "a", ""], backend)))
    assert empty.lengths.tolist() == [0, 1, 0]
    assert empty.offsets.dtype == np.int32
