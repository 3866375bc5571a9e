"""Examples -> rows of the store, and characters -> tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from qakit.data import encode as module
from qakit.data.encode import encode, token_spans
from qakit.data.store import TokenStore
from qakit.errors import DataError
from qakit.values import Answer, Example

CONTEXT = "William's army landed at Pevensey in 1066. 台北市是首都。"


def store_of(*texts: Sequence[tuple[int, int]]) -> TokenStore:
    """A store whose texts have these offsets."""
    flat = np.array([offset for text in texts for offset in text], np.int32).reshape(-1, 2)
    pointers = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    return TokenStore(np.zeros(len(flat), np.int32), flat, pointers)


def span(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    first, stop = token_spans(
        store_of([(0, 90)], offsets, [(0, 3)]), np.array([1], np.int32), np.array([start]), np.array([end])
    )
    return int(first[0]), int(stop[0])


def by_the_rule(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    wide = [(i, a, b) for i, (a, b) in enumerate(offsets) if a < b]
    first = min((i for i, _, b in wide if b > start), default=-1)
    last = max((i for i, a, _ in wide if a < end), default=-2)
    return (first, last + 1) if 0 <= first <= last and start < end else (-1, -1)


def test_whole_tokens() -> None:
    assert span([(0, 3), (4, 7), (8, 9)], 4, 9) == (1, 3)


def test_an_answer_within_a_token_takes_the_token() -> None:
    assert span([(0, 3), (4, 9)], 5, 7) == (1, 2)


def test_blanks_around_the_answer_are_left_out() -> None:
    assert span([(0, 3), (5, 8), (10, 12)], 3, 10) == (1, 2)


def test_only_blanks_are_no_tokens() -> None:
    assert span([(0, 3), (5, 8)], 3, 5) == (-1, -1)


def test_all_bytes_of_a_character() -> None:
    assert span([(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)], 1, 2) == (1, 4)


def test_tokens_without_characters_do_not_count() -> None:
    assert span([(0, 0), (0, 2), (2, 2), (2, 4), (4, 4)], 0, 2) == (1, 2)
    assert span([(0, 2), (2, 4), (0, 0)], 0, 2) == (0, 1)


def test_an_empty_answer_and_an_empty_text() -> None:
    assert span([(0, 3)], 1, 1) == (-1, -1)
    assert span([], 0, 2) == (-1, -1)


offsets = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)).map(lambda o: (o[0], o[0] + o[1])), max_size=8)


@given(
    texts=st.lists(offsets, min_size=1, max_size=6),
    asked=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 16), st.integers(0, 5)), max_size=8),
    block=st.sampled_from([1, 5, 1000]),
)
def test_the_rule_for_any_offsets(
    texts: list[list[tuple[int, int]]], asked: list[tuple[int, int, int]], block: int
) -> None:
    """Also for offsets in any order, many texts at once, and few tokens at a time."""
    rows = np.array([row % len(texts) for row, _, _ in asked], np.int32)
    start = np.array([start for _, start, _ in asked], np.int64)
    end = start + np.array([length for _, _, length in asked], np.int64)
    before, module.BLOCK_TOKENS = module.BLOCK_TOKENS, block
    try:
        first, stop = token_spans(store_of(*texts), rows, start, end)
    finally:
        module.BLOCK_TOKENS = before
    found = list(zip(first.tolist(), stop.tolist(), strict=True))
    assert found == [by_the_rule(texts[r], int(a), int(b)) for r, a, b in zip(rows, start, end, strict=True)]


# ----------------------------------------------------------------------------------------------------------- examples
def example(text: str, *, context: str = CONTEXT, id: str = "q") -> Example:
    return Example(id, "Where?", (context,), (Answer(text, context.index(text)),))


def cut(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The text that each pair's target tokens cover."""
    encoded = encode(examples, tokenizer)
    found = []
    contexts = [context for example in examples for context in example.contexts]
    for row, first, stop, context in zip(
        encoded.context, encoded.answer_first, encoded.answer_stop, contexts, strict=True
    ):
        tokens = encoded.store.offsets[encoded.store.pointers[row] :][first:stop] if first >= 0 else []
        found.append(context[tokens[0][0] : tokens[-1][1]] if len(tokens) else "")
    return found


def test_answers_are_found_again(tokenizer: PreTrainedTokenizerFast) -> None:
    answers = ["Pevensey", "landed at Pevensey", "1066", "William's army", "首都"]
    found = cut([example(text, id=text) for text in answers], tokenizer)
    for text, tokens in zip(answers, found, strict=True):
        assert text in tokens
        if text[0].isascii():  # SentencePiece may make one token of several Chinese characters
            assert tokens.strip() in (text, text + ".")


def test_pairs_and_pointers(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    examples = [
        Example("a", "Q", ("one", "two", "one"), (Answer("two", None), Answer("two", 0, context=1)), relevant=1),
        Example("b", "Q", (), None, label="x"),
        Example("c", "one", ("two",), ()),
        Example("d", "Q", ("two",), (Answer("elsewhere", None),)),
        Example("e", "Q", ("two",), None),
    ]
    encoded = encode(examples, bert_tokenizer)
    assert len(encoded.store) == 3
    assert encoded.pointers.tolist() == [0, 3, 3, 4, 5, 6]
    assert encoded.query.tolist() == [0, 0, 1, 0, 0]
    assert encoded.context.tolist() == [1, 2, 1, 2, 2, 2]
    assert (encoded.answer_first >= 0).tolist() == [False, True, False, False, False, False]
    assert encoded.answerable.tolist() == [1, -1, 0, 1, -1]
    assert encoded.pair_example.tolist() == [0, 0, 0, 2, 3, 4]
    assert encoded.context_lengths.tolist() == encoded.store.lengths[encoded.context].tolist()


def test_no_examples(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encode([], bert_tokenizer)
    assert len(encoded) == 0 and encoded.pointers.tolist() == [0]


def test_keys_depend_on_the_id_alone(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    several = encode([example("1066", id=name) for name in ("x", "y", "z", "\ud800")], bert_tokenizer)
    alone = encode([example("army", id="y")], bert_tokenizer)
    assert several.key[1] == alone.key[0]
    assert len(set(several.key.tolist())) == 4
    assert (several.key >= 0).all()


texts = st.text(
    st.one_of(st.sampled_from("ab Ｑ中。\u0301\u200b\n\U0001f600ﬁÅ"), st.characters(exclude_categories=["Cs"]))
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(context=texts, data=st.data())
def test_offsets_always_cut_the_text(tokenizer: PreTrainedTokenizerFast, context: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(context)))
    end = data.draw(st.integers(start, len(context)))
    encoded = encode([Example("q", "a", (context,), (Answer(context[start:end], start),))], tokenizer)
    rows = encoded.store.pointers[encoded.context[0] :]
    inside = encoded.store.offsets[rows[0] : rows[1]]
    assert ((inside >= 0) & (inside <= len(context))).all()
    assert (inside[:, 0] <= inside[:, 1]).all()
    first, stop = encoded.answer_first[0], encoded.answer_stop[0]
    assert (first, stop) == by_the_rule([tuple(offset) for offset in inside.tolist()], start, end)


def test_a_text_that_the_tokenizers_patterns_give_up_on_is_named() -> None:
    """A panic in Rust is no Exception: it would end the process with a traceback."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    from qakit.data.encodings import tokenise

    backend = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    backend.pre_tokenizer = Split(Regex("(a+)+c"), "isolated")
    with pytest.raises(DataError, match=r"the tokenizer fails on a text of 40,000 characters \(Onig: .*leave out 'aaa"):
        list(tokenise(["short", "a" * 40_000, "b"], backend))


def test_extras_are_there_where_any_example_has_some(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    plain, known = Example("a", "Q"), Example("b", "Q", extra={"level": 2})
    assert encode([plain, plain], bert_tokenizer).extras is None
    assert encode([plain, known], bert_tokenizer).extras == ({}, {"level": 2})
