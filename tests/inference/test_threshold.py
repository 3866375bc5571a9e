"""The null threshold, against trying all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.inference.threshold import (
    MARGIN,
    Choices,
    apply_threshold,
    best_threshold,
    null_differences,
    search_null_threshold,
    tune_null_threshold,
)
from qakit.values import Candidate, Example, NoAnswer, SpanPrediction

FIGURES = st.sampled_from([0.0, 1 / 3, 0.5, 2 / 3, 1.0])
ROWS = st.lists(
    st.tuples(st.integers(-4, 4).map(float) | st.floats(-1e6, 1e6), FIGURES, FIGURES), min_size=1, max_size=30
)


def mean(rows: Sequence[tuple[float, float, float]], threshold: float) -> float:
    return math.fsum(null if difference > threshold else answered for difference, answered, null in rows) / len(rows)


@given(ROWS)
def test_no_other_threshold_is_better(rows: list[tuple[float, float, float]]) -> None:
    threshold, best = best_threshold(*zip(*rows, strict=True))
    assert best == pytest.approx(mean(rows, threshold), abs=1e-9)
    every = [-math.inf, *(row[0] for row in rows)]  # all that make a difference
    assert best == pytest.approx(max(mean(rows, other) for other in every), abs=1e-9)


@pytest.mark.parametrize(
    ("differences", "answered", "null", "expected"),
    [
        ([-1.0, 3.0], [1, 0], [0, 1], (1.0, 1.0)),  # the middle of the gap
        (
            [-1.0, 3.0, 3.5, 9.0],
            [1, 1, 1, 0],
            [0, 1, 1, 1],
            (6.25, 1.0),
        ),  # the widest of the gaps that are equally good
        ([2.0, 5.0], [1, 1], [0, 0], (5.0 + MARGIN, 1.0)),  # answer everything
        ([2.0, 5.0], [0, 0], [1, 1], (2.0 - MARGIN, 1.0)),  # answer nothing
        ([4.0, 4.0], [1, 0], [0, 1], (3.0, 0.5)),  # equal differences cannot be parted
        ([], [], [], (0.0, 0.0)),
    ],
)
def test_which_threshold(
    differences: list[float], answered: list[float], null: list[float], expected: tuple[float, float]
) -> None:
    assert best_threshold(differences, answered, null) == expected


def test_the_order_of_the_rows_does_not_matter() -> None:
    random = np.random.default_rng(0)
    rows = np.stack([random.normal(size=500), random.integers(0, 2, 500), random.integers(0, 2, 500)])
    assert best_threshold(*rows) == best_threshold(*rows[:, random.permutation(500)])


def test_neighbouring_floats_have_no_middle() -> None:
    below = 1.0
    above = math.nextafter(below, 2.0)
    threshold, best = best_threshold([below, above], [1, 0], [0, 1])
    assert best == 1.0
    assert below <= threshold < above


def test_differences_must_be_numbers() -> None:
    with pytest.raises(ValueError, match="must be numbers"):
        best_threshold([0.0, math.nan], [1, 1], [0, 0])


def test_infinite_differences_are_beyond_every_threshold() -> None:
    assert best_threshold([math.inf, -1.0, 3.0, -math.inf], [0, 1, 0, 1], [1, 0, 1, 0]) == (1.0, 1.0)
    assert best_threshold([math.inf, -math.inf], [1, 1], [0, 0]) == (0.0, 0.5)


def prediction(name: str, score: float | None, null: float | None) -> SpanPrediction:
    candidates = () if score is None else (Candidate("x", 0, 1, 0, score, 1.0),)
    return SpanPrediction(name, "stale", candidates, None if null is None else NoAnswer(null, 0.5))


def exact(examples: Sequence[Example], answers: Sequence[str]) -> list[float]:
    return [100.0 * (answer == example.label) for example, answer in zip(examples, answers, strict=True)]


def test_tuning_counts_questions_that_no_threshold_changes() -> None:
    examples = [Example(str(row), "?", label=label) for row, label in enumerate(["x", "", "", "", "x", "x"])]
    predictions = [
        prediction("0", 5.0, 1.0),  # difference -4, answered rightly
        prediction("1", 1.0, 2.0),  # difference 1, rightly null
        prediction("2", 0.0, 4.0),  # difference 4, rightly null
        prediction("3", None, -9.0),  # no candidate: always null, rightly
        prediction("4", None, 9.0),  # no candidate: always null, wrongly
        prediction("5", 1.0, None),  # no null option: always answered
    ]
    threshold, value = tune_null_threshold(predictions, examples, exact)
    assert threshold == -1.5
    assert value == pytest.approx(100 * 5 / 6)
    applied = apply_threshold(predictions, threshold)
    assert [each.answer for each in applied] == ["x", "", "", "", "", "x"]
    assert [each.candidates for each in applied] == [each.candidates for each in predictions]
    assert np.mean(exact(examples, [each.answer for each in applied])) == pytest.approx(value)


def test_tuning_nothing() -> None:
    assert tune_null_threshold([], [], exact) == (0.0, 0.0)
    only_empty = [prediction("0", None, 1.0)]
    assert tune_null_threshold(only_empty, [Example("0", "?", label="")], exact) == (0.0, 100.0)


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.sampled_from(["x", "", "y"])), min_size=1, max_size=15
    )
)
def test_applied_the_threshold_gives_the_promised_figure(rows: list[tuple[int, int, str]]) -> None:
    predictions = [prediction(str(row), float(score), float(null)) for row, (score, null, _) in enumerate(rows)]
    examples = [Example(str(row), "?", label=label) for row, (_, _, label) in enumerate(rows)]
    threshold, value = tune_null_threshold(predictions, examples, exact)
    applied = apply_threshold(predictions, threshold)
    assert np.mean(exact(examples, [each.answer for each in applied])) == pytest.approx(value)


def test_differences_say_what_no_threshold_changes() -> None:
    predictions = [prediction("0", 5.0, 1.0), prediction("1", None, 1.0), prediction("2", 5.0, None)]
    assert null_differences(predictions).tolist() == [-4.0, math.inf, -math.inf]


DIFFERENCES = st.integers(-4, 4).map(float) | st.sampled_from([math.inf, -math.inf])
QUESTIONS = st.lists(st.tuples(DIFFERENCES, FIGURES, FIGURES, st.booleans()), min_size=1, max_size=30)


@given(QUESTIONS, st.lists(st.floats(-6, 6), min_size=1, max_size=5))
def test_the_curve_is_the_mean_at_every_threshold(
    rows: list[tuple[float, float, float, bool]], thresholds: list[float]
) -> None:
    differences, answered, null, answerable = (np.array(column) for column in zip(*rows, strict=True))
    choices = Choices(differences, {"f1": answered}, {"f1": null}, answerable)
    every = [*thresholds, *differences[np.isfinite(differences)].tolist()]
    for group in (None, answerable, ~answerable):
        chosen = [
            row[:3] for row, kept in zip(rows, group if group is not None else answerable | True, strict=True) if kept
        ]
        if not chosen:
            continue
        curve = choices.curve("f1", group)
        assert [curve.at(threshold) for threshold in every] == pytest.approx([mean(chosen, t) for t in every], abs=1e-9)
        assert list(curve.thresholds) == sorted(set(curve.thresholds))
    threshold, best = choices.best("f1")
    curve = choices.curve("f1")
    assert best == pytest.approx(curve.at(threshold), abs=1e-9)
    assert best == pytest.approx(curve.means.max(), abs=1e-9)


@given(st.lists(st.tuples(st.integers(-9, 9).map(float), st.booleans(), st.booleans()), max_size=60))
def test_a_figure_that_is_no_mean_is_searched(rows: list[tuple[float, bool, bool]]) -> None:
    """F1 over the questions, as of long and short answers: all thresholds that matter are tried where they are few."""

    def f1(given_: Sequence[bool]) -> float:
        right = sum(answer and good for answer, (_, good, _) in zip(given_, rows, strict=True))
        missed = sum(not answer and there for answer, (_, _, there) in zip(given_, rows, strict=True))
        total = right + sum(given_) + missed
        return 2 * right / total if total else 0.0

    predictions = [
        SpanPrediction(str(row), "x", (Candidate("x", 0, 1, 0, 0.0, 0.5),), NoAnswer(difference, 0.5))
        for row, (difference, _, _) in enumerate(rows)
    ]
    threshold, best = search_null_threshold(predictions, lambda found: f1([bool(each.answer) for each in found]))
    assert best == f1([difference <= threshold for difference, _, _ in rows])
    every = [-math.inf, *(row[0] for row in rows)]
    assert best == pytest.approx(max(f1([row[0] <= other for row in rows]) for other in every))


def test_of_equally_good_thresholds_that_were_searched_the_middle_one_is_chosen() -> None:
    predictions = [
        SpanPrediction(str(each), "x", (Candidate("x", 0, 1, 0, 0.0, 0.5),), NoAnswer(float(each), 0.5))
        for each in range(9)
    ]
    assert search_null_threshold(predictions, lambda _: 1.0) == (4.5, 1.0)
