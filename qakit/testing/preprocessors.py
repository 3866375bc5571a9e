"""The contract of preprocessors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qakit.components import Component, Settings
from qakit.data.encode import EncodedExamples
from qakit.data.store import TokenStore
from qakit.data.windows import Windows
from qakit.protocols import WindowRuntime
from qakit.testing.components import build_checked, running

MAX_LENGTH = 24
MAX_QUESTION_LENGTH = 8
SPECIAL_TOKENS = 3
SEPARATOR_TOKENS = 1


def made_up_examples() -> EncodedExamples:
    """Eleven examples with what real ones have.

    Short, long and empty contexts, a long question and an empty one, answers at either end, one longer than a window,
    one unanswerable example, one unlabelled, one with three contexts, one with four that fit into a window by twos:
    the first three would, too, but for the separators.
    """
    return _encoded(
        [
            (4, (10,), (0, 2, 4), 1),
            (4, (13,), (0, 12, 13), 1),
            (5, (14,), (0, 0, 1), 1),
            (3, (60,), (0, 59, 60), 1),
            (3, (61,), (0, 30, 33), 1),
            (20, (57,), (0, 0, 2), 1),
            (0, (40,), (0, 5, 38), 1),
            (4, (33,), None, 0),
            (4, (0,), None, -1),
            (6, (7, 50, 20), (1, 20, 25), 1),
            (3, (6, 5, 6, 2), (1, 0, 5), 1),
        ]
    )


def made_up_texts() -> EncodedExamples:
    """Six labelled examples for classification and one without a label: texts and pairs, short, long and empty."""
    lengths = [(4,), (60,), (5, 6), (60, 3), (3, 60), (60, 61), (0, 0)]
    return _encoded([(first, rest, None, -1) for first, *rest in lengths], labels=(0, 1, 0, 1, 1, 0, math.nan))


Row = tuple[int, Sequence[int], tuple[int, int, int] | None, int]
"""Tokens of the question, of each context, (context, first, stop) of the answer or None, answerable."""


def _encoded(rows: Sequence[Row], labels: Sequence[float] | None = None) -> EncodedExamples:
    texts = [length for question, contexts, _, _ in rows for length in (question, *contexts)]
    pointers = np.cumsum([0, *texts], dtype=np.int64)
    within = np.arange(pointers[-1]) - np.repeat(pointers[:-1], np.diff(pointers))  # a token: a character and a space
    store = TokenStore(
        ids=np.arange(5, 5 + pointers[-1], dtype=np.int32),
        offsets=np.stack([2 * within, 2 * within + 1], axis=1).astype(np.int32),
        pointers=pointers,
    )
    first_pair = np.cumsum([0, *(len(contexts) for _, contexts, _, _ in rows)], dtype=np.int64)
    query = (first_pair[:-1] + np.arange(len(rows))).astype(np.int32)
    answers, relevant = np.full((int(first_pair[-1]), 2), -1, np.int32), np.full(len(rows), -1, np.int32)
    for row, (_, _, answer, _) in enumerate(rows):
        if answer:
            relevant[row] = first_pair[row] + answer[0]
            answers[relevant[row]] = answer[1:]
    return EncodedExamples(
        store=store,
        query=query,
        pointers=first_pair,
        context=np.setdiff1d(np.arange(len(texts), dtype=np.int32), query),
        answer_first=answers[:, 0],
        answer_stop=answers[:, 1],
        answerable=np.array([answerable for *_, answerable in rows], np.int8),
        label=np.full(len(rows), np.nan, np.float32) if labels is None else np.array(labels, np.float32),
        relevant=relevant,
        key=np.arange(100, 100 + len(rows), dtype=np.int64),
    )


def check_preprocessor(component: Component[Any, Any, Any], settings: Settings, *, texts: bool = False) -> None:
    """Windows fit, slice what exists, label answers right, and in prediction cover every context token.

    They depend on the epoch only where ``redraws`` says so.

    Args:
        texts: for a preprocessor of classification: it gets texts and pairs with labels, need not cover all of them,
            and ``max_question_length`` is not for it. Training windows are those of the labelled examples.

    Raises:
        AssertionError: with the reason.
    """
    encoded = made_up_texts() if texts else made_up_examples()
    for training in (True, False):
        runtime = WindowRuntime(
            max_length=MAX_LENGTH,
            max_question_length=MAX_QUESTION_LENGTH,
            special_tokens=SPECIAL_TOKENS,
            training=training,
            seed=1,
            separator_tokens=SEPARATOR_TOKENS,
        )
        preprocessor = build_checked("preprocessors", component, settings, runtime)
        first, again, next_epoch = (_windows(preprocessor, encoded, epoch) for epoch in (0, 0, 1))
        for windows in (first, next_epoch):
            _check_slices(windows, encoded)
            if not texts:
                assert (windows.query_stop <= MAX_QUESTION_LENGTH).all(), (
                    "a window holds more of the question than max_question_length"
                )
            _check_answers(windows, encoded)
            if texts and training:
                labelled = set(np.flatnonzero(encoded.has_label).tolist())
                assert set(windows.example.tolist()) == labelled, "in training exactly labelled examples have windows"
            if not training:
                _check_coverage(windows, encoded, whole=not texts)
        assert _equal(first, again), "the same epoch gives other windows"
        assert preprocessor.redraws or _equal(first, next_epoch), "windows differ between epochs, but redraws is False"
        assert training or not preprocessor.redraws, "windows for prediction must not be redrawn"
    assert len(_windows(preprocessor, _encoded([]), 0)) == 0, "in prediction, no examples must give no windows"


def _windows(preprocessor: Any, encoded: EncodedExamples, epoch: int) -> Windows:
    with running("windows" if len(encoded) else "windows of no examples"):
        windows: Windows = preprocessor.windows(encoded, epoch=epoch)
    return windows


def _check_slices(windows: Windows, encoded: EncodedExamples) -> None:
    owner = np.repeat(windows.example, np.diff(windows.pointers))
    assert (encoded.pair_example[windows.pair] == owner).all(), "a window holds a context of another example"
    assert (windows.query_stop <= encoded.query_lengths[windows.example]).all(), (
        "a window has more question than there is"
    )
    separators = SEPARATOR_TOKENS * (np.diff(windows.pointers) - 1)  # more for further segments, fewer without any
    assert (windows.lengths + SPECIAL_TOKENS + separators <= MAX_LENGTH).all(), (
        "a window is longer than max_length with special tokens"
    )


def _check_answers(windows: Windows, encoded: EncodedExamples) -> None:
    labelled = windows.answer_first >= 0
    assert (labelled == (windows.answer_stop >= 0)).all(), "answer_first and answer_stop must be -1 together"
    gold_first, gold_stop = encoded.answer_first[windows.pair], encoded.answer_stop[windows.pair]
    held = (gold_first >= windows.first) & (gold_stop <= windows.stop) & (gold_first >= 0)
    assert labelled[held].all(), "a window that holds the whole answer is not labelled with it"
    # An answer longer than the window may be cut to what the window holds; any other part of an answer is no target.
    too_long = (gold_first >= 0) & (gold_stop - gold_first > windows.stop - windows.first)
    assert (held | too_long)[labelled].all(), "a window is labelled with an answer that it does not hold"
    target_first, target_stop = np.maximum(gold_first, windows.first), np.minimum(gold_stop, windows.stop)
    right = (windows.answer_first == target_first) & (windows.answer_stop == target_stop)
    assert right[labelled].all(), "a label is not the answer (token numbers count from the context's start)"


def _check_coverage(windows: Windows, encoded: EncodedExamples, *, whole: bool) -> None:
    assert set(windows.example.tolist()) == set(range(len(encoded))), "in prediction every example needs a window"
    if not whole:
        return
    for pair, length in enumerate(encoded.context_lengths):
        seen = np.zeros(length, bool)
        for segment in np.flatnonzero(windows.pair == pair):
            seen[windows.first[segment] : windows.stop[segment]] = True
        assert seen.all(), f"in prediction, token {int(np.argmin(seen))} of a context of {length} is in no window"


def _equal(left: Windows, right: Windows) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in Windows.__slots__)
