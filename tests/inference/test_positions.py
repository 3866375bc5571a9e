"""Scores of single tokens, brought together from windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qakit.data.collate import Collator, owned_tokens
from qakit.data.encode import EncodedExamples
from qakit.data.store import TokenStore
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.inference.positions import PositionTable
from qakit.protocols import PositionScores

TEMPLATE = PairTemplate((1,), (2,), (3,), (0,), (0,), (1,), 0, 1, has_types=True, pad=0, pad_type=0)
Segment = tuple[int, int, int]
"""Pair, first token, one past the last."""


def encoded_of(contexts: Sequence[int], pairs: Sequence[Sequence[int]]) -> EncodedExamples:
    """``contexts``: their lengths in tokens. ``pairs``: the contexts of each example. Every question has one token."""
    lengths = np.array([1, *contexts], np.int64)
    count = sum(map(len, pairs))
    return EncodedExamples(
        store=TokenStore(
            ids=np.arange(lengths.sum()).astype(np.int32),
            offsets=np.zeros((int(lengths.sum()), 2), np.int32),
            pointers=np.concatenate([[0], lengths.cumsum()]),
        ),
        query=np.zeros(len(pairs), np.int32),
        pointers=np.cumsum([0, *map(len, pairs)], dtype=np.int64),
        context=np.array([1 + context for listed in pairs for context in listed], np.int32),
        answer_first=np.full(count, -1, np.int32),
        answer_stop=np.full(count, -1, np.int32),
        answerable=np.full(len(pairs), -1, np.int8),
        label=np.full(len(pairs), np.nan, np.float32),
        relevant=np.full(len(pairs), -1, np.int32),
        key=np.arange(len(pairs)),
    )


def windows_of(encoded: EncodedExamples, layout: Sequence[Sequence[Segment]]) -> Windows:
    pair, first, stop = np.array([each for segments in layout for each in segments], np.int32).reshape(-1, 3).T
    return Windows(
        example=encoded.pair_example[[segments[0][0] for segments in layout]],
        query_stop=np.ones(len(layout), np.int32),
        pointers=np.cumsum([0, *map(len, layout)], dtype=np.int64),
        pair=pair,
        first=first,
        stop=stop,
        answer_first=np.full(len(pair), -1, np.int32),
        answer_stop=np.full(len(pair), -1, np.int32),
    )


def add(table: PositionTable, collator: Collator, rows: Sequence[int], value: NDArray[np.float32]) -> None:
    """``value`` (windows, tokens of the store); the end scores are its negatives."""
    batch = collator.collate(np.array(rows), targets=False)
    start = np.where(batch.token >= 0, value[batch.window[:, None], batch.token], -np.inf).astype(np.float32)
    end = np.where(start > -np.inf, -start, -np.inf).astype(np.float32)
    table.add(batch, PositionScores(torch.from_numpy(start), torch.from_numpy(end)))


# One context of six tokens, in two windows that share tokens 2 and 3.
ENCODED = encoded_of([6], [[0]])
WINDOWS = windows_of(ENCODED, [[(0, 0, 4)], [(0, 2, 6)]])
VALUE = np.array([[0, 1, 2, 3, 4, 0, 0], [0, 0, 0, 7, 8, 9, 10]], np.float32)  # token 0 is the question's


@pytest.mark.parametrize(
    ("mean", "owned", "start"),
    [
        (True, False, [1, 2, (2 * 3 + 7) / 3, (4 + 2 * 8) / 3, 9, 10]),  # a token more around it: twice the weight
        (False, False, [1, 2, 7, 8, 9, 10]),
        (False, True, [1, 2, 3, 8, 9, 10]),  # each token from the window that sees most around it
    ],
)
def test_a_token_in_two_windows(mean: bool, owned: bool, start: list[float]) -> None:
    table = PositionTable(ENCODED, WINDOWS, mean=mean)
    collator = Collator(ENCODED, WINDOWS, TEMPLATE, ownership=owned_tokens(WINDOWS) if owned else None)
    add(table, collator, [0, 1], VALUE)
    assert table.start.tolist() == pytest.approx(start)
    assert table.weight.tolist() == ([1, 2, 2, 2, 2, 1] if owned else [1, 2, 3, 3, 2, 1])
    if mean:
        assert table.end.tolist() == pytest.approx([-value for value in start])


def test_a_token_that_no_window_holds_is_never_chosen() -> None:
    table = PositionTable(ENCODED, WINDOWS, mean=True)
    add(table, Collator(ENCODED, WINDOWS, TEMPLATE), [1], VALUE)
    assert table.start.tolist() == [-np.inf, -np.inf, 7, 8, 9, 10]
    assert table.end.tolist() == [-np.inf, -np.inf, -7, -8, -9, -10]


def test_examples_with_the_same_context_do_not_mix() -> None:
    encoded = encoded_of([2, 3], [[1, 0], [0]])
    windows = windows_of(encoded, [[(0, 0, 3), (1, 0, 2)], [(2, 0, 2)]])
    table = PositionTable(encoded, windows, mean=True)
    value = np.array([[0, 1, 2, 3, 4, 5], [0, -1, -2, 0, 0, 0]], np.float32)
    add(table, Collator(encoded, windows, TEMPLATE), [1, 0], value)
    assert table.pointers.tolist() == [0, 3, 5, 7]
    assert table.start.tolist() == [3, 4, 5, 1, 2, -1, -2]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_scores_are_an_error(bad: float) -> None:
    value = VALUE.copy()
    value[1, 4] = bad
    with pytest.raises(ModelError, match="NaN scores"):
        add(PositionTable(ENCODED, WINDOWS, mean=True), Collator(ENCODED, WINDOWS, TEMPLATE), [0, 1], value)


@st.composite
def shuffled_windows(draw: st.DrawFn) -> tuple[EncodedExamples, Windows, NDArray[np.float32], list[list[int]]]:
    """Contexts, windows anywhere in them, scores for each, and the windows in batches of any order."""
    contexts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    pairs = draw(st.lists(st.lists(st.sampled_from(range(len(contexts))), min_size=1, max_size=2), min_size=1))
    pairs = pairs[:3]
    encoded = encoded_of(contexts, pairs)
    layout = []
    for pair, length in enumerate(encoded.context_lengths.tolist()):
        for _ in range(draw(st.integers(1, 4))):
            first = draw(st.integers(0, length - 1))
            layout.append([(pair, first, draw(st.integers(first + 1, length)))])
    floats = st.floats(-20_000, 20_000, width=32) | st.just(-np.inf)
    size = len(layout) * len(encoded.store.ids)
    value = draw(st.lists(floats, min_size=size, max_size=size))
    order = draw(st.permutations(range(len(layout))))
    cuts = sorted(draw(st.lists(st.integers(1, len(order)), max_size=3)))
    batches = [part.tolist() for part in np.split(np.array(order), cuts) if len(part)]
    return (
        encoded,
        windows_of(encoded, layout),
        np.array(value, np.float32).reshape(len(layout), -1),
        batches,
    )


@given(shuffled_windows(), st.booleans())
def test_neither_batches_nor_processes_change_a_bit(
    case: tuple[EncodedExamples, Windows, NDArray[np.float32], list[list[int]]], mean: bool
) -> None:
    encoded, windows, value, batches = case
    collator = Collator(encoded, windows, TEMPLATE)
    whole = PositionTable(encoded, windows, mean=mean)
    add(whole, collator, range(len(windows)), value)
    parts = [PositionTable(encoded, windows, mean=mean) for _ in range(2)]
    for number, rows in enumerate(batches):
        add(parts[number % 2], collator, rows, value)
    rows = [part.rows() for part in parts]
    parts[0].merge(rows[1])
    parts[1].merge(rows[0])
    for part in parts:
        assert np.array_equal(part.weight, whole.weight)
        assert np.array_equal(part.start, whole.start)
        assert np.array_equal(part.end, whole.end)


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40))
def test_the_mean_is_the_mean(values: list[float]) -> None:
    windows = windows_of(ENCODED, [[(0, 0, 6)]] * len(values))
    table = PositionTable(ENCODED, windows, mean=True)
    add(table, Collator(ENCODED, windows, TEMPLATE), range(len(values)), np.repeat(np.float32(values)[:, None], 7, 1))
    assert table.start == pytest.approx(np.full(6, np.mean(values)), rel=1e-6, abs=1e-7)
