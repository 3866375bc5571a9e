"""Windows over several contexts: one by one, and in one input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import DataError, EncodedExamples, TokenStore, UsageError, WindowRuntime, Windows
from qakit.testing import check_preprocessor
from qakit_preprocess import CONCATENATE, EVERY_CONTEXT

SPECIAL, SEPARATOR = 4, 2
Spec = tuple[int, list[int], int | None, tuple[int, int] | None]
"""One example: question tokens, context tokens, relevant context, its answer tokens [first, stop)."""


def encode(*examples: Spec) -> EncodedExamples:
    lengths, query, context, answers, relevant = [], [], [], [], []
    for question, contexts, chosen, answer in examples:
        query.append(len(lengths))
        lengths.append(question)
        relevant.append(-1 if chosen is None else len(context) + chosen)
        for number, length in enumerate(contexts):
            context.append(len(lengths))
            lengths.append(length)
            answers.append(answer if answer is not None and number == chosen else (-1, -1))
    pointers = np.cumsum([0, *lengths]).astype(np.int64)
    first, stop = np.array(answers, np.int32).reshape(-1, 2).T
    return EncodedExamples(
        store=TokenStore(np.zeros(pointers[-1], np.int32), np.zeros((pointers[-1], 2), np.int32), pointers),
        query=np.array(query, np.int32),
        pointers=np.cumsum([0, *(len(contexts) for _, contexts, _, _ in examples)]).astype(np.int64),
        context=np.array(context, np.int32),
        answer_first=first,
        answer_stop=stop,
        answerable=np.array([-1 if answer is None else 1 for *_, answer in examples], np.int8),
        label=np.full(len(examples), np.nan, np.float32),
        relevant=np.array(relevant, np.int32),
        key=np.arange(len(examples)) * 7919,
    )


def build(component: Any, *, room: int = 10, training: bool = False, **settings: Any) -> Any:
    """``room``: tokens beside the special ones."""
    runtime = WindowRuntime(
        max_length=SPECIAL + room,
        max_question_length=4,
        special_tokens=SPECIAL,
        training=training,
        seed=3,
        separator_tokens=SEPARATOR,
    )
    return component.build(component.settings(**settings), runtime)


def laid(windows: Windows) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """(example, [(pair, first, stop), ...]) of each window."""
    segments = list(zip(windows.pair.tolist(), windows.first.tolist(), windows.stop.tolist(), strict=True))
    return [
        (example, segments[begin:end])
        for example, begin, end in zip(
            windows.example.tolist(), windows.pointers[:-1].tolist(), windows.pointers[1:].tolist(), strict=True
        )
    ]


@pytest.mark.parametrize(
    ("component", "settings"),
    [(EVERY_CONTEXT, {}), (EVERY_CONTEXT, {"train_contexts": 2}), (CONCATENATE, {}), (CONCATENATE, {"overlap": 2})],
)
def test_they_keep_the_contract(component: Any, settings: dict[str, Any]) -> None:
    check_preprocessor(component, component.settings(**settings))


# ----------------------------------------------------------------------------------------------------------- one by one
def test_every_context_has_its_windows() -> None:
    encoded = encode((2, [3, 12, 0], 1, (9, 11)))
    windows = build(EVERY_CONTEXT, overlap=2).windows(encoded, epoch=0)
    assert laid(windows) == [(0, [(0, 0, 3)]), (0, [(1, 0, 8)]), (0, [(1, 6, 12)]), (0, [(2, 0, 0)])]
    assert windows.answer_first.tolist() == [-1, -1, 9, -1]


def test_training_needs_to_know_the_right_one() -> None:
    known, unknown = (2, [3, 4], 0, None), (2, [5, 6], None, None)
    windows = build(EVERY_CONTEXT, training=True).windows(encode(known, unknown), epoch=0)
    assert laid(windows) == [(0, [(0, 0, 3)]), (0, [(1, 0, 4)])]
    for component in (EVERY_CONTEXT, CONCATENATE):
        with pytest.raises(DataError, match="which of its contexts holds the answer"):
            build(component, training=True).windows(encode(unknown), epoch=0)
        assert len(build(component).windows(encode(unknown), epoch=0))


@given(st.lists(st.integers(2, 6), min_size=1, max_size=5), st.integers(2, 4), st.integers(0, 3))
def test_some_contexts_are_drawn_and_the_right_one_is_always_there(counts: list[int], most: int, epoch: int) -> None:
    encoded = encode(*((2, [3] * count, count - 1, None) for count in counts))
    windows = build(EVERY_CONTEXT, training=True, train_contexts=most).windows(encoded, epoch=epoch)
    assert np.bincount(windows.example).tolist() == [min(most, count) for count in counts]
    assert set(encoded.relevant.tolist()) <= set(windows.pair.tolist())
    alone = encode((2, [3] * counts[0], counts[0] - 1, None))  # the draw depends on the example's own key
    same = build(EVERY_CONTEXT, training=True, train_contexts=most).windows(alone, epoch=epoch)
    assert windows.pair[windows.example == 0].tolist() == same.pair.tolist()


# --------------------------------------------------------------------------------------------------------- in one input
def test_what_fits_is_one_window() -> None:
    encoded = encode((2, [1, 0, 2], 2, (0, 2)))  # 2 + 1 + (2 + 0) + (2 + 2) = 9
    windows = build(CONCATENATE).windows(encoded, epoch=0)
    assert laid(windows) == [(0, [(0, 0, 1), (1, 0, 0), (2, 0, 2)])]
    assert windows.answer_stop.tolist() == [-1, -1, 2]


def test_what_does_not_fit_goes_on_in_the_next_window() -> None:
    encoded = encode((2, [6, 4, 3], 1, (1, 3)))  # 6 + (2 + 4) + (2 + 3) = 17 tokens and separators, 8 at a time
    windows = build(CONCATENATE, step=6).windows(encoded, epoch=0)
    assert laid(windows) == [
        (0, [(0, 0, 6)]),  # 0 to 8, and the last two are a separator
        (0, [(1, 0, 4)]),  # 6 to 14: separator, context, separator
        (0, [(2, 0, 3)]),  # 12 to 20
    ]
    assert windows.answer_first.tolist() == [-1, 1, -1]


def test_an_overlap_that_leaves_no_step() -> None:
    with pytest.raises(UsageError, match="leaves no step forward"):
        build(CONCATENATE, overlap=8).windows(encode((2, [5, 5], 0, None)), epoch=0)
    assert len(build(CONCATENATE, overlap=8).windows(encode((2, [3, 3], 0, None)), epoch=0)) == 1


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.lists(st.integers(0, 15), min_size=1, max_size=5)), min_size=1, max_size=4
    ),
    st.integers(7, 20),
    st.one_of(st.none(), st.integers(1, 9)),
    st.sampled_from([EVERY_CONTEXT, CONCATENATE]),
)
def test_every_token_is_seen_and_no_window_is_too_long(
    examples: list[tuple[int, list[int]]], room: int, step: int | None, component: Any
) -> None:
    encoded = encode(*((question, contexts, 0, None) for question, contexts in examples))
    windows = build(component, room=room, step=step).windows(encoded, epoch=0)
    separators = SEPARATOR * np.maximum(np.diff(windows.pointers) - 1, 0)
    assert (windows.lengths + separators <= room).all()
    assert (np.diff(windows.pointers) >= 1).all()
    for pair, length in enumerate(encoded.context_lengths.tolist()):
        own = windows.pair == pair
        assert own.any()
        seen = np.zeros(length, bool)
        for first, stop in zip(windows.first[own], windows.stop[own], strict=True):
            seen[first:stop] = True
        assert seen.all()
    assert (encoded.pair_example[windows.pair] == np.repeat(windows.example, np.diff(windows.pointers))).all()
    blind = replace(encoded, relevant=np.full(len(encoded), -1, np.int32))
    assert laid(build(component, room=room, step=step).windows(blind, epoch=1)) == laid(windows)
