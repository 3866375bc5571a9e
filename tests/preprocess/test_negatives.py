"""How many windows without the answer are drawn, and which: uniform ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.api import Answer, DataError, EncodedExamples, Example, Preprocessor, Windows
from qakit.testing import check_preprocessor
from qakit_preprocess import CENTRED, RANDOM_WINDOW, STRIDE

Encode = Callable[[Sequence[Example]], EncodedExamples]
Build = Callable[..., Preprocessor]
Window = tuple[int, int, int]

AROUND = ("centred", "random_window")
TEXT = "abcdefghijklmnopqrstuvwx"
"""24 letters: with windows of 10 and step 7, windows at 0, 7 and 14."""


def answered(name: str = "q", start: int = 12, length: int = 2, *, contexts: tuple[str, ...] = (TEXT,)) -> Example:
    return Example(name, "?", contexts, (Answer(contexts[0][start : start + length], start),))


def split(windows: Windows) -> tuple[list[Window], list[Window]]:
    """(pair, first, stop) of the windows with a target and of those without."""
    rows = list(zip(windows.pair.tolist(), windows.first.tolist(), windows.stop.tolist(), strict=True))
    with_target = (windows.answer_first >= 0).tolist()
    return (
        [row for row, target in zip(rows, with_target, strict=True) if target],
        [row for row, target in zip(rows, with_target, strict=True) if not target],
    )


def equal(left: Windows, right: Windows) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in Windows.__slots__)


# ------------------------------------------------------------------------------------------------------------ stride
@pytest.mark.parametrize(("ratio", "count"), [(0, 0), (1, 1), (2, 2), (1.0, 1), (7.5, 2), (1e300, 2)])
def test_a_ratio_is_of_the_windows_with_the_answer(ratio: float, count: int, by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered()])
    for epoch in range(5):
        windows = build("stride", step=7, negatives=ratio).windows(encoded, epoch=epoch)
        positives, negatives = split(windows)
        assert positives == [(0, 7, 17)]
        assert len(negatives) == count and set(negatives) <= {(0, 0, 10), (0, 14, 24)}


def test_two_windows_with_the_answer_ask_for_twice_as_many(by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(start=15, length=2)])  # in (7, 17) and in (14, 24)
    positives, negatives = split(build("stride", step=7, negatives=0.5).windows(encoded, epoch=0))
    assert positives == [(0, 7, 17), (0, 14, 24)] and negatives == [(0, 0, 10)]


def test_a_fraction_is_one_more_now_and_then(by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered()])
    preprocessor = build("stride", step=7, negatives=1.25)
    counts = Counter(len(preprocessor.windows(encoded, epoch=epoch)) - 1 for epoch in range(400))
    assert set(counts) == {1, 2} and 60 < counts[2] < 140  # 100 expected


def test_negatives_are_drawn_uniformly_and_anew_each_epoch(by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(start=22)])
    preprocessor = build("stride", step=2, negatives=1)
    drawn = Counter(split(preprocessor.windows(encoded, epoch=epoch))[1][0] for epoch in range(700))
    assert {first for _, first, _ in drawn} == {0, 2, 4, 6, 8, 10, 12}  # only the window at 14 holds 22..23
    assert min(drawn.values()) > 60 and max(drawn.values()) < 140  # 100 expected


def test_only_a_ratio_is_redrawn(build: Build) -> None:
    redrawn = {choice: build("stride", negatives=choice).redraws for choice in ("all", "none", 0, 0.5)}
    assert redrawn == {"all": False, "none": False, 0: False, 0.5: True}
    assert not build("centred").redraws and build("centred", negatives=1).redraws
    assert not build("stride", negatives=1, training=False).redraws


def test_an_answer_that_no_window_holds_asks_for_nothing(by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(start=8, length=4), answered("other")])  # 8..12 is cut by 0..10 and by 10..20
    windows = build("stride", step=10, negatives=3).windows(encoded, epoch=0)
    assert set(windows.example.tolist()) == {1}


def test_windows_of_unanswerable_examples_always_stay(by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(), Example("u", "?", (TEXT,), ())])
    for name in ("stride", *AROUND):
        without = build(name, step=7).windows(encoded, epoch=0)
        windows = build(name, step=7, negatives=0.001).windows(encoded, epoch=0)
        assert (windows.example == 1).sum() == (without.example == 1).sum() > 0


def test_contexts_answer_draws_from_that_context_alone(by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(contexts=(TEXT, TEXT[::-1]))])
    draw = build("stride", step=7, negatives=10, contexts="answer").windows(encoded, epoch=0)
    assert {pair for pair, _, _ in split(draw)[1]} == {0}
    draw = build("stride", step=7, negatives=10).windows(encoded, epoch=0)
    assert len(split(draw)[1]) == 5


# ------------------------------------------------------------------------------------------------------ around answer
@pytest.mark.parametrize("name", AROUND)
def test_negatives_come_beside_the_windows_with_the_answer(name: str, by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(contexts=(TEXT, TEXT[::-1]))])
    places = set()
    for epoch in range(50):
        positives, negatives = split(build(name, step=7, negatives=2).windows(encoded, epoch=epoch))
        alone = build(name, step=7).windows(encoded, epoch=epoch)
        assert positives == split(alone)[0]
        assert len(negatives) == 2
        assert all(pair == 1 or stop <= 12 or first >= 14 for pair, first, stop in negatives)
        places.update(negatives)
    assert {pair for pair, _, _ in places} == {0, 1}
    assert {first for pair, first, _ in places if pair == 1} > {0, 3, 8, 12}


@pytest.mark.parametrize("name", AROUND)
def test_a_context_within_one_window_has_no_negative(name: str, by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(start=3, contexts=("abcdefg",))])
    assert len(build(name, negatives=3).windows(encoded, epoch=0)) == 1


@pytest.mark.parametrize("name", AROUND)
def test_part_of_an_answer_is_no_negative(name: str, by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(start=6, length=13)])  # longer than the window
    for epoch in range(20):
        windows = build(name, step=2, negatives=5).windows(encoded, epoch=epoch)
        positives, negatives = split(windows)
        assert positives == [(0, 6, 16)]
        assert negatives == [] or {first >= 19 or stop <= 6 for _, first, stop in negatives} == {True}


def test_each_window_with_the_answer_counts(by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(start=0, contexts=(TEXT * 8,))])
    windows = build("random_window", step=7, per_example=4, negatives=1.5).windows(encoded, epoch=0)
    positives, negatives = split(windows)
    assert len(positives) == 4 and len(negatives) == 6
    assert windows.first.tolist() == sorted(windows.first.tolist())


# ---------------------------------------------------------------------------------------------------------- settings
@pytest.mark.parametrize("name", [STRIDE, CENTRED, RANDOM_WINDOW], ids=lambda component: component.name)
@pytest.mark.parametrize("ratio", [-0.1, float("nan"), float("inf"), "some"])
def test_what_no_ratio_is(name: Any, ratio: Any) -> None:
    with pytest.raises(ValidationError):
        name.settings(negatives=ratio)


@pytest.mark.parametrize("negatives", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("spacing", [{}, {"step": 3}, {"overlap": 0}])
def test_the_contract_of_preprocessors(negatives: float, spacing: dict[str, int]) -> None:
    for component in (STRIDE, CENTRED, RANDOM_WINDOW):
        check_preprocessor(component, component.settings(negatives=negatives, **spacing))


# ------------------------------------------------------------------------------------------------------ any examples
@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        texts = draw(st.lists(st.text("abc", max_size=40), min_size=1, max_size=3))
        row = draw(st.integers(0, len(texts) - 1))
        answers: tuple[Answer, ...] | None = draw(st.sampled_from([(), None]))
        if texts[row] and draw(st.integers(0, 3)):
            start = draw(st.integers(0, len(texts[row]) - 1))
            length = draw(st.integers(1, min(12, len(texts[row]) - start)))
            answers = (Answer(texts[row][start : start + length], start, row),)
        found.append(Example(f"q{number}", "?", tuple(texts), answers))
    return found


@given(
    examples=examples(),
    name=st.sampled_from(["stride", *AROUND]),
    ratio=st.sampled_from([0.3, 1.0, 1.5, 2.0, 10.0]),
    step=st.integers(1, 9),
    epoch=st.integers(0, 5),
    seed=st.integers(0, 3),
)
def test_any_draw_is_sound(
    examples: list[Example],
    name: str,
    ratio: float,
    step: int,
    epoch: int,
    seed: int,
    by_letters: Encode,
    build: Build,
) -> None:
    encoded = by_letters(examples)
    alone = "none" if name == "stride" else 0
    try:
        positive = build(name, step=step, negatives=alone, seed=seed).windows(encoded, epoch=epoch)
    except DataError:
        return
    windows = build(name, step=step, negatives=ratio, seed=seed).windows(encoded, epoch=epoch)
    assert windows.first.dtype == windows.example.dtype == np.int32
    order = np.lexsort((windows.first, windows.pair))
    assert order.tolist() == list(range(len(windows)))
    assert (encoded.pair_example[windows.pair] == windows.example).all()

    without = split(windows)[1]
    assert len(set(without)) == len(without)
    answerable = encoded.answerable == 1
    everything = build("stride", step=step).windows(encoded, epoch=epoch)
    for row in range(len(encoded)):
        mine, before = windows.example == row, positive.example == row
        if not answerable[row]:
            assert (mine.sum(), windows.first[mine].tolist()) == (before.sum(), positive.first[before].tolist())
            continue
        held = positive.answer_first >= 0
        assert sorted(windows.first[mine & (windows.answer_first >= 0)]) == sorted(positive.first[before & held])
        count, wanted = int((mine & (windows.answer_first < 0)).sum()), ratio * int((before & held).sum())
        assert count <= np.ceil(wanted)
        if name == "stride":
            available = int(((everything.example == row) & (everything.answer_first < 0)).sum())
            assert min(np.floor(wanted), available) <= count <= min(np.ceil(wanted), available)
    for pair, first, stop in without:
        gold_first, gold_stop = encoded.answer_first[pair], encoded.answer_stop[pair]
        assert not (gold_first >= first and gold_stop <= stop)
        assert name == "stride" or not (gold_first < stop and gold_stop > first)

    again = build(name, step=step, negatives=ratio, seed=seed).windows(by_letters(examples), epoch=epoch)
    assert equal(windows, again)
    more = by_letters([Example("new", "?", (TEXT,), (Answer("b", 1),)), *examples])
    with_another = build(name, step=step, negatives=ratio, seed=seed).windows(more, epoch=epoch)
    old = with_another.example > 0
    for field in ("first", "stop", "answer_first", "answer_stop"):
        assert np.array_equal(getattr(with_another, field)[old], getattr(windows, field))
    assert np.array_equal(with_another.pair[old] - 1, windows.pair)


@pytest.mark.parametrize("name", ["stride", *AROUND])
def test_epochs_and_seeds_differ(name: str, by_letters: Encode, build: Build) -> None:
    encoded = by_letters([answered(f"q{number}", contexts=(TEXT * 4,)) for number in range(20)])
    first, other_epoch, other_seed = (
        split(build(name, step=3, negatives=1, seed=seed).windows(encoded, epoch=epoch))[1]
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    )
    assert first != other_epoch and first != other_seed


TWICE = Example("q", "?", (TEXT,), (Answer(TEXT[1:3], 1, others=((20, 22),)),))


def test_a_window_with_another_place_of_the_answer_is_no_negative(by_letters: Encode, build: Build) -> None:
    windows = build("stride", overlap=3, negatives="none").windows(by_letters([TWICE]), epoch=0)
    assert windows.first.tolist() == [0, 14]


@pytest.mark.parametrize("name", AROUND)
def test_no_negative_shares_a_token_with_any_place(name: str, by_letters: Encode, build: Build) -> None:
    encoded, built = by_letters([TWICE]), build(name, overlap=3, negatives=9.0, room=6)
    drawn = [window for epoch in range(20) for window in split(built.windows(encoded, epoch=epoch))[1]]
    assert drawn
    assert not any(first < end and stop > start for _, first, stop in drawn for start, end in ((1, 3), (20, 22)))


@pytest.mark.parametrize("name", ["stride", *AROUND])
def test_evidence_for_yes_or_no_is_no_negative(name: str, by_letters: Encode, build: Build) -> None:
    asked = Example("q", "?", (TEXT, TEXT), (Answer("yes", None, 1),))
    encoded = replace(by_letters([asked]), yes_no=np.array([0, 1], np.int8))
    windows = build(name, step=7, negatives=2.0).windows(encoded, epoch=0)
    assert {1} < set(windows.pair.tolist())  # the evidence, and negatives from elsewhere
    held = int((windows.pair == 1).sum())
    assert held == (3 if name == "stride" else 1)
    with pytest.raises(DataError, match="no training windows"):
        build(name, step=7, negatives=2.0).windows(by_letters([asked]), epoch=0)
