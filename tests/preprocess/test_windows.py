"""Where the first-party preprocessors lay their windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.api import (
    Component,
    DataError,
    EncodedExamples,
    Preprocessor,
    TokenStore,
    UsageError,
    WindowRuntime,
    Windows,
)
from qakit_preprocess import CENTRED, RANDOM_WINDOW, STRIDE

SPECIAL = 3
COMPONENTS = {component.name: component for component in (STRIDE, CENTRED, RANDOM_WINDOW)}

Spec = tuple[int, list[tuple[int, tuple[int, int] | None]], int]
"""One example: question tokens, [(context tokens, answer tokens [first, stop) or None), ...], answerable."""


def encode(*examples: Spec, keys: list[int] | None = None) -> EncodedExamples:
    """Examples of these lengths; every text has a row of its own."""
    lengths, query, context, answers = [], [], [], []
    for question, contexts, _ in examples:
        query.append(len(lengths))
        lengths.append(question)
        for length, answer in contexts:
            context.append(len(lengths))
            lengths.append(length)
            answers.append(answer or (-1, -1))
    pointers = np.cumsum([0, *lengths]).astype(np.int64)
    first, stop = np.array(answers, np.int32).reshape(-1, 2).T
    return EncodedExamples(
        store=TokenStore(np.zeros(pointers[-1], np.int32), np.zeros((pointers[-1], 2), np.int32), pointers),
        query=np.array(query, np.int32),
        pointers=np.cumsum([0, *(len(contexts) for _, contexts, _ in examples)]).astype(np.int64),
        context=np.array(context, np.int32),
        answer_first=first,
        answer_stop=stop,
        answerable=np.array([answerable for *_, answerable in examples], np.int8),
        label=np.full(len(examples), np.nan, np.float32),
        relevant=np.full(len(examples), -1, np.int32),
        key=np.array(keys or np.arange(len(examples)) * 7919, np.int64),
    )


def build(
    name: str, *, room: int = 10, question: int = 4, training: bool = True, seed: int = 0, **settings: Any
) -> Preprocessor:
    """A preprocessor for windows with place for ``room`` context tokens beside ``question`` question tokens."""
    component: Component[Any, Any, Any] = COMPONENTS[name]
    runtime = WindowRuntime(room + question + SPECIAL, question, SPECIAL, training, seed)
    return component.build(component.settings(**settings), runtime)


def spans(windows: Windows) -> list[tuple[int, int]]:
    return list(zip(windows.first.tolist(), windows.stop.tolist(), strict=True))


def answers(windows: Windows) -> list[tuple[int, int]]:
    return list(zip(windows.answer_first.tolist(), windows.answer_stop.tolist(), strict=True))


NONE = (-1, -1)
ANSWERED: Spec = (4, [(24, (12, 14))], 1)
UNANSWERABLE: Spec = (4, [(24, None)], 0)


# ------------------------------------------------------------------------------------------------------------- stride
def test_overlap_and_step_say_the_same() -> None:
    for settings in ({"overlap": 3}, {"step": 7}):
        windows = build("stride", **settings).windows(encode(ANSWERED), epoch=0)
        assert spans(windows) == [(0, 10), (7, 17), (14, 24)]
        assert answers(windows) == [NONE, (12, 14), NONE]


def test_the_default_overlap_is_128_or_half_of_a_window() -> None:
    small = build("stride").windows(encode(ANSWERED), epoch=0)
    assert spans(small) == [(0, 10), (5, 15), (10, 20), (15, 24)]
    large = build("stride", room=300).windows(encode((4, [(400, (0, 1))], 1)), epoch=0)
    assert spans(large) == [(0, 300), (172, 400)]


def test_a_context_that_fits_is_one_window() -> None:
    windows = build("stride").windows(encode((4, [(10, (0, 10))], 1)), epoch=0)
    assert spans(windows) == [(0, 10)] and answers(windows) == [(0, 10)]


def test_a_step_longer_than_the_window_leaves_no_gap() -> None:
    assert spans(build("stride", step=50).windows(encode(ANSWERED), epoch=0)) == [(0, 10), (10, 20), (20, 24)]


def test_an_overlap_without_a_step_forward_is_an_error() -> None:
    with pytest.raises(
        UsageError, match=r"an overlap of 10 tokens leaves no step forward.* holds only 10 of the context"
    ):
        build("stride", overlap=10).windows(encode(ANSWERED), epoch=0)
    short = (4, [(9, (0, 1))], 1)  # no second window, no step needed
    assert len(build("stride", overlap=10).windows(encode(short), epoch=0)) == 1


def test_overlap_and_step_together_are_an_error() -> None:
    with pytest.raises(ValidationError, match="`overlap` or `step`, not both"):
        STRIDE.settings(overlap=3, step=4)


def test_negatives() -> None:
    encoded = encode(ANSWERED, UNANSWERABLE)
    kept = build("stride", overlap=3, negatives="all").windows(encoded, epoch=0)
    assert kept.example.tolist() == [0, 0, 0, 1, 1, 1]
    left = build("stride", overlap=3, negatives="none").windows(encoded, epoch=0)
    assert left.example.tolist() == [0, 1, 1, 1]
    assert answers(left) == [(12, 14), NONE, NONE, NONE]


def test_contexts() -> None:
    several: Spec = (4, [(10, None), (10, (2, 3)), (10, None)], 1)
    nothing: Spec = (4, [(10, None), (10, None)], 0)
    encoded = encode(several, nothing)
    assert build("stride", contexts="all").windows(encoded, epoch=0).pair.tolist() == [0, 1, 2, 3, 4]
    assert build("stride", contexts="answer").windows(encoded, epoch=0).pair.tolist() == [1, 3, 4]


def test_prediction_keeps_everything_and_labels_what_it_can() -> None:
    encoded = encode(ANSWERED, (4, [(24, None)], -1), (4, [(5, None)], 1))
    windows = build("stride", training=False, overlap=3, negatives="none", contexts="answer").windows(encoded, epoch=0)
    assert windows.example.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert answers(windows)[:3] == [NONE, (12, 14), NONE]


@pytest.mark.parametrize("name", COMPONENTS)
def test_nothing_is_learnt_from_unlabelled_and_unplaced_examples(name: str) -> None:
    unlabelled, unplaced = (4, [(24, None)], -1), (4, [(24, None)], 1)
    windows = build(name).windows(encode(unlabelled, ANSWERED, unplaced), epoch=0)
    assert set(windows.example.tolist()) == {1}
    with pytest.raises(DataError, match="no training windows"):
        build(name).windows(encode(unlabelled, unplaced), epoch=0)


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize("training", [False, True])
def test_an_example_without_a_context_is_an_error(name: str, training: bool) -> None:
    with pytest.raises(DataError, match="1 of 2 examples have no context"):
        build(name, training=training).windows(encode(ANSWERED, (4, [], 1)), epoch=0)


def test_no_examples_to_predict() -> None:
    assert len(build("stride", training=False).windows(encode(), epoch=0)) == 0


def test_a_window_without_place_is_an_error() -> None:
    runtime = WindowRuntime(max_length=8, max_question_length=4, special_tokens=8, training=False, seed=0)
    with pytest.raises(UsageError, match="max_length 8 leaves no place"):
        STRIDE.build(STRIDE.settings(), runtime).windows(encode(ANSWERED), epoch=0)


def test_long_questions_are_cut() -> None:
    # At most 4 tokens, and never so many that no context token fits.
    windows = build("stride", room=10).windows(encode((50, [(8, (0, 1))], 1)), epoch=0)
    assert windows.query_stop.tolist() == [4]
    runtime = WindowRuntime(max_length=8, max_question_length=64, special_tokens=3, training=False, seed=0)
    windows = STRIDE.build(STRIDE.settings(), runtime).windows(encode((50, [(3, (0, 1))], 1)), epoch=0)
    assert windows.query_stop.tolist() == [4, 4, 4]
    assert spans(windows) == [(0, 1), (1, 2), (2, 3)]


# ------------------------------------------------------------------------------------------------------- around answer
def test_centred() -> None:
    encoded = encode(
        ANSWERED,
        (4, [(24, (0, 2))], 1),
        (4, [(24, (23, 24))], 1),
        (4, [(6, (3, 4))], 1),
        UNANSWERABLE,
        (4, [(24, (5, 15))], 1),
        (4, [(9, None), (24, (12, 14))], 1),
    )
    windows = build("centred").windows(encoded, epoch=0)
    assert spans(windows) == [(8, 18), (0, 10), (14, 24), (0, 6), (0, 10), (5, 15), (8, 18)]
    assert answers(windows) == [(12, 14), (0, 2), (23, 24), (3, 4), NONE, (5, 15), (12, 14)]
    assert windows.pair.tolist() == [0, 1, 2, 3, 4, 5, 7]


@pytest.mark.parametrize("name", ["centred", "random_window"])
def test_an_answer_longer_than_the_window_is_cut(name: str) -> None:
    windows = build(name).windows(encode((4, [(30, (13, 27))], 1)), epoch=0)
    assert spans(windows) == [(13, 23)]
    assert answers(windows) == [(13, 23)]


@pytest.mark.parametrize("name", ["centred", "random_window"])
def test_prediction_is_stride(name: str) -> None:
    encoded = encode(ANSWERED, UNANSWERABLE)
    preprocessor = build(name, training=False, step=4)
    assert spans(preprocessor.windows(encoded, epoch=0)) == spans(
        build("stride", training=False, step=4).windows(encoded, epoch=0)
    )
    assert not preprocessor.redraws


def test_only_random_windows_are_redrawn() -> None:
    assert {name for name in COMPONENTS if build(name).redraws} == {"random_window"}


def test_random_windows_reach_every_place_equally_often() -> None:
    encoded = encode(ANSWERED)
    preprocessor = build("random_window")
    starts = [int(preprocessor.windows(encoded, epoch=epoch).first[0]) for epoch in range(900)]
    counts = np.bincount(starts)
    assert counts[:4].sum() == 0 and len(counts) == 13  # the answer is 12..13, so windows start at 4..12
    assert counts[4:].min() > 60 and counts[4:].max() < 145  # 100 expected


def test_unanswerable_examples_get_random_windows() -> None:
    encoded = encode(UNANSWERABLE)
    starts = {int(build("random_window").windows(encoded, epoch=epoch).first[0]) for epoch in range(200)}
    assert starts == set(range(15))


def test_random_windows_depend_on_seed_epoch_and_example_alone() -> None:
    examples = [(4, [(500, (250, 252))], 1)] * 40
    keys = list(range(1000, 1040))
    one = build("random_window", room=100).windows(encode(*examples, keys=keys), epoch=3)
    again = build("random_window", room=100).windows(encode(*examples[5:], keys=keys[5:]), epoch=3)
    assert spans(one)[5:] == spans(again)
    other_epoch = build("random_window", room=100).windows(encode(*examples, keys=keys), epoch=4)
    other_seed = build("random_window", room=100, seed=1).windows(encode(*examples, keys=keys), epoch=3)
    assert spans(one) != spans(other_epoch) and spans(one) != spans(other_seed)
    assert len(set(spans(one))) > 20


def test_several_random_windows_per_example() -> None:
    encoded = encode(*[(4, [(500, (250, 252))], 1), (4, [(500, None)], 0)])
    windows = build("random_window", room=100, per_example=6).windows(encoded, epoch=0)
    assert windows.example.tolist() == [0] * 6 + [1] * 6
    assert len(set(spans(windows))) > 8
    assert answers(windows) == [(250, 252)] * 6 + [NONE] * 6


# --------------------------------------------------------------------------------------------------------- any example
@st.composite
def specs(draw: st.DrawFn) -> Spec:
    contexts: list[tuple[int, tuple[int, int] | None]] = [
        (length, None) for length in draw(st.lists(st.integers(0, 40), min_size=1, max_size=3))
    ]
    answerable = draw(st.sampled_from([-1, 0, 1, 1]))
    if answerable == 1:
        row = draw(st.integers(0, len(contexts) - 1))
        length = contexts[row][0]
        if length:
            first = draw(st.integers(0, length - 1))
            contexts[row] = (length, (first, draw(st.integers(first + 1, length))))
    return draw(st.integers(0, 12)), contexts, answerable


@given(
    examples=st.lists(specs(), max_size=5),
    name=st.sampled_from(list(COMPONENTS)),
    training=st.booleans(),
    room=st.integers(1, 15),
    question=st.integers(0, 8),
    spacing=st.sampled_from([{}, {"step": 1}, {"step": 6}, {"overlap": 0}]),
    epoch=st.integers(0, 3),
)
def test_every_window_is_sound(
    examples: list[Spec], name: str, training: bool, room: int, question: int, spacing: dict[str, int], epoch: int
) -> None:
    encoded = encode(*examples)
    try:
        windows = build(name, room=room, question=question, training=training, **spacing).windows(encoded, epoch=epoch)
    except DataError:
        assert training
        assert not any(a == 0 or any(answer for _, answer in contexts) for _, contexts, a in examples)
        return
    max_length = room + question + SPECIAL
    assert (windows.lengths + SPECIAL <= max_length).all()
    assert (np.diff(windows.example) >= 0).all()
    covered = [np.zeros(length, bool) for _, contexts, _ in examples for length, _ in contexts]
    met = np.zeros(len(covered), bool)
    for row in range(len(windows)):
        pair, first, stop = int(windows.pair[row]), int(windows.first[row]), int(windows.stop[row])
        assert encoded.pair_example[pair] == windows.example[row]
        assert 0 <= first <= stop <= len(covered[pair])
        assert first < stop or len(covered[pair]) == 0
        covered[pair][first:stop] = met[pair] = True
        gold = (int(encoded.answer_first[pair]), int(encoded.answer_stop[pair]))
        found = answers(windows)[row]
        inside = gold != NONE and first <= gold[0] and gold[1] <= stop
        too_long = name != "stride" and training and gold[1] - gold[0] > stop - first
        if inside:
            assert found == gold
        elif too_long:
            assert found == (gold[0], stop) == (first, stop)
        else:
            assert found == NONE
            assert name == "stride" or not training or gold == NONE
    if not training:
        assert met.all() and all(tokens.all() for tokens in covered)
    again = build(name, room=room, question=question, training=training, **spacing).windows(encoded, epoch=epoch)
    assert spans(windows) == spans(again)


def test_replaced_labels_do_not_change_the_windows_of_prediction() -> None:
    encoded = encode(ANSWERED, UNANSWERABLE)
    blind = replace(encoded, answerable=np.full(2, -1, np.int8), answer_first=np.full(2, -1, np.int32))
    preprocessor = build("stride", training=False)
    assert spans(preprocessor.windows(encoded, epoch=0)) == spans(preprocessor.windows(blind, epoch=0))
