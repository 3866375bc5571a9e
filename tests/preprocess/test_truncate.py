"""One window for each text or pair of texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from qakit.data.encode import EncodedExamples
from qakit.data.store import TokenStore
from qakit.errors import DataError, UsageError
from qakit.protocols import WindowRuntime
from qakit.testing import check_component
from qakit_preprocess import TRUNCATE
from qakit_preprocess.truncate import Truncate, longest_first

PREDICTION = WindowRuntime(
    max_length=12, max_question_length=2, special_tokens=3, training=False, seed=0, separator_tokens=1
)
TRAINING = replace(PREDICTION, training=True)


def encoded(*rows: tuple[int, ...], labels: list[float] | None = None) -> EncodedExamples:
    """Examples from the lengths of their texts: (first,) or (first, second)."""
    lengths = [length for row in rows for length in row]
    pointers = np.cumsum([0, *lengths]).astype(np.int64)
    store = TokenStore(np.zeros(sum(lengths), np.int32), np.zeros((sum(lengths), 2), np.int32), pointers)
    begin = np.cumsum([0, *(len(row) for row in rows)])
    texts = np.arange(len(lengths), dtype=np.int32)
    pairs = np.cumsum([0, *(len(row) - 1 for row in rows)]).astype(np.int64)
    return EncodedExamples(
        store=store,
        query=texts[begin[:-1]],
        pointers=pairs,
        context=np.delete(texts, begin[:-1]),
        answer_first=np.full(pairs[-1], -1, np.int32),
        answer_stop=np.full(pairs[-1], -1, np.int32),
        answerable=np.full(len(rows), -1, np.int8),
        label=np.array(labels if labels is not None else [0.0] * len(rows), np.float32),
        relevant=np.full(len(rows), -1, np.int32),
        key=np.arange(len(rows), dtype=np.int64),
    )


def test_keeps_the_contract_of_components() -> None:
    check_component("preprocessors", TRUNCATE)
    built = Truncate(PREDICTION)
    assert not built.redraws


def test_short_texts_stay_whole_and_long_ones_give_way() -> None:
    windows = Truncate(PREDICTION).windows(
        encoded((3,), (20,), (2, 3), (2, 30), (30, 2), (30, 30), (0, 0), (5, 4)), epoch=0
    )
    assert windows.query_stop.tolist() == [3, 10, 2, 2, 7, 4, 0, 5]  # the longest of two is not max_question_length
    assert windows.pointers.tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert windows.stop.tolist() == [3, 7, 2, 5, 0, 4]
    assert windows.first.tolist() == [0] * 6
    assert windows.pair.tolist() == [0, 1, 2, 3, 4, 5]
    assert (windows.answer_first == -1).all()


def test_only_labelled_examples_are_trained_on() -> None:
    examples = encoded((3,), (4, 5), (6,), (7, 8), labels=[np.nan, 1.0, 0.0, np.nan])
    windows = Truncate(TRAINING).windows(examples, epoch=0)
    assert windows.example.tolist() == [1, 2]
    assert (windows.pair.tolist(), windows.pointers.tolist()) == ([0], [0, 1, 1])
    assert len(Truncate(PREDICTION).windows(examples, epoch=0)) == 4
    with pytest.raises(DataError, match="no example has a label"):
        Truncate(TRAINING).windows(encoded((3,), labels=[np.nan]), epoch=0)


def test_what_it_is_not_for_is_an_error() -> None:
    with pytest.raises(DataError, match="3 contexts"):
        Truncate(PREDICTION).windows(encoded((3,), (1, 2, 3, 4)), epoch=0)
    with pytest.raises(UsageError, match="max_length 4"):
        Truncate(replace(PREDICTION, max_length=4)).windows(encoded((3,)), epoch=0)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 40))
def test_cuts_as_tokenizers_do(first: int, second: int, room: int) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(room, strategy="longest_first")
    theirs = tokenizer.encode("a " * first, "b " * second)
    kept = longest_first(np.array([first]), np.array([second]), np.array([room]))
    assert [int(part[0]) for part in kept] == [theirs.tokens.count("a"), theirs.tokens.count("b")]
