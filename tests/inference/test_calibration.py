"""The temperature and the calibration error, by hand and on scores whose distortion is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.inference.calibration import (
    HIGHEST,
    LOWEST,
    Options,
    calibration_of,
    exactly_right,
    expected_calibration_error,
    fit_temperature,
    right_options,
)
from qakit.values import Candidate, Example, NoAnswer, SpanPrediction


def prediction(name: str, scores: Sequence[float], null: float | None, answer: str) -> SpanPrediction:
    """Candidates called "0", "1" ... with these scores."""
    candidates = tuple(Candidate(str(rank), rank, rank + 1, 0, score, 0.0) for rank, score in enumerate(scores))
    return SpanPrediction(name, answer, candidates, None if null is None else NoAnswer(null, 0.0))


def exact(examples: Sequence[Example], answers: Sequence[str]) -> list[float]:
    return [
        100.0 * (answer in str(example.label).split("|")) for example, answer in zip(examples, answers, strict=True)
    ]


def drawn(count: int, *, scale: float, seed: int = 0) -> tuple[Options, np.ndarray]:
    """Options whose right one is drawn by the softmax of their scores, which are then multiplied by ``scale``."""
    random = np.random.default_rng(seed)
    scores = -np.sort(-random.normal(scale=2.0, size=(count, 6)), axis=1)
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    right = (random.random((count, 1)) > shares.cumsum(1)).sum(1)
    return Options(scores * scale, np.zeros(count, np.int64)), right


# ----------------------------------------------------------------------------------------------------- the temperature
@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0, 8.0])
def test_the_temperature_is_the_factor_that_the_scores_were_multiplied_by(scale: float) -> None:
    options, right = drawn(4000, scale=scale)
    temperature = fit_temperature(options, right)
    assert temperature == pytest.approx(scale, rel=0.1)
    found = calibration_of(options, right == 0, temperature)
    assert found.ece_after < 0.03
    if scale != 1.0:
        assert found.ece_before > 3 * found.ece_after


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_another_scale_of_the_scores_is_another_scale_of_the_temperature(factor: float) -> None:
    options, right = drawn(300, scale=1.5)
    right[::3] = -1  # also where no option is right
    scaled = replace(options, scores=options.scores * factor)
    assert fit_temperature(scaled, right) == pytest.approx(factor * fit_temperature(options, right), rel=1e-3)


@given(
    st.lists(st.tuples(st.lists(st.floats(-50, 50), min_size=1, max_size=4), st.integers(-1, 3)), max_size=8),
    st.integers(0, 3),
)
@settings(deadline=None)
def test_no_temperature_of_the_range_is_more_likely(rows: list[tuple[list[float], int]], chosen: int) -> None:
    width = 4
    scores = np.array([[*row, *[-math.inf] * (width - len(row))] for row, _ in rows]).reshape(-1, width)
    counts = (scores > -math.inf).sum(1)
    right = np.array([answer if answer < count else -1 for (_, answer), count in zip(rows, counts, strict=True)], int)
    options = Options(scores, np.minimum(chosen, counts - 1))

    def loss(temperature: float) -> float:
        total = 0.0
        for row, answer, best, count in zip(scores, right, options.chosen, counts, strict=True):
            logs = row[:count] / temperature
            logs = logs - logs.max()
            logs -= math.log(sum(map(math.exp, logs)))
            if count > 1:
                wrong = [value for place, value in enumerate(logs) if place != best]
                top = max(wrong)
                total -= logs[answer] if answer >= 0 else top + math.log(sum(math.exp(value - top) for value in wrong))
        return total

    temperature = fit_temperature(options, right)
    assert LOWEST <= temperature <= HIGHEST
    assert loss(temperature) <= loss(1.0) + 1e-9
    if (right >= 0).all():  # convex in 1 / T: the search cannot miss
        tried = [loss(other) for other in np.geomspace(LOWEST, HIGHEST, 50)]
        assert loss(temperature) <= min(tried) + 1e-3 * max(1.0, abs(min(tried)))


def test_a_few_questions_keep_the_temperature_within_its_bounds() -> None:
    options = Options(np.array([[3.0, 1.0], [2.0, 1.0]]), np.zeros(2, np.int64))
    assert fit_temperature(options, np.array([0, 0])) == pytest.approx(LOWEST, rel=1e-3)
    assert fit_temperature(options, np.array([1, -1])) == pytest.approx(HIGHEST, rel=1e-3)


def test_the_temperature_by_hand() -> None:
    """Three of four are right: the odds of 3 are those of a lead of ln 3, here of twice that."""
    scores = np.tile([2 * math.log(3), 0.0], (4, 1))
    assert fit_temperature(Options(scores, np.zeros(4, np.int64)), np.array([0, 0, 0, 1])) == 2.0


def test_nothing_to_fit_leaves_the_scores_as_they_are() -> None:
    single = Options(np.array([[-math.inf, 3.0]]), np.ones(1, np.int64))
    assert fit_temperature(single, np.array([-1])) == 1.0
    assert fit_temperature(Options.of([]), np.array([], np.int64)) == 1.0
    equal = Options(np.zeros((3, 2)), np.zeros(3, np.int64))
    assert fit_temperature(equal, np.array([0, 1, -1])) == 1.0


# --------------------------------------------------------------------------------------------------- what is an option
PREDICTIONS = [
    prediction("a", [2.0, 1.0], 0.5, "0"),  # the second is right
    prediction("b", [2.0], 5.0, ""),  # "no answer" is right, and chosen
    prediction("c", [2.0, 1.0, 0.0], None, "0"),  # all wrong
    prediction("d", [], 1.0, ""),  # wrong, and nothing else to choose
    prediction("e", [], None, ""),  # nothing at all
    prediction("f", [4.0, 3.0], 1.0, "0"),  # all three are right
    prediction("g", [4.0, 3.0, 2.0], 1.0, "0"),  # two are right, not the chosen one
]
EXAMPLES = [Example(str(row), "?", label=label) for row, label in enumerate(["1", "", "x", "x", "", "|0|1", "2|1"])]


def test_which_option_is_right() -> None:
    options = Options.of(PREDICTIONS)
    assert options.chosen.tolist() == [1, 0, 1, 0, 0, 1, 1]
    assert options.scores[0].tolist() == [0.5, 2.0, 1.0, -math.inf]
    assert right_options(PREDICTIONS, EXAMPLES, options, exact).tolist() == [2, 0, -1, -1, -1, 1, 2]
    assert exactly_right(PREDICTIONS, EXAMPLES, exact).tolist() == [False, True, False, False, True, True, False]


def test_each_option_is_scored_until_one_is_right() -> None:
    asked: list[tuple[str, str]] = []

    def score(examples: Sequence[Example], answers: Sequence[str]) -> list[float]:
        asked.extend((example.id, answer) for example, answer in zip(examples, answers, strict=True))
        return exact(examples, answers)

    right_options(PREDICTIONS, EXAMPLES, Options.of(PREDICTIONS), score)
    assert [answer for name, answer in asked if name == "5"] == ["0"]
    assert [answer for name, answer in asked if name == "6"] == ["0", "", "1"]
    assert [answer for name, answer in asked if name == "4"] == []


def test_confidence_is_the_probability_of_the_answer() -> None:
    confidence = Options.of(PREDICTIONS).confidence(2.0)
    assert confidence[0] == pytest.approx(math.exp(1.0) / (math.exp(1.0) + math.exp(0.5) + math.exp(0.25)))
    assert confidence[3] == 1.0
    assert math.isnan(confidence[4])


# ---------------------------------------------------------------------------------------------- the calibration error
def test_the_error_by_hand() -> None:
    # Bins of a fifteenth: 0.9 and 0.92 share one (13/15 to 14/15), 0.3 and 1 have their own.
    confidence = [0.9, 0.92, 0.3, 1.0, math.nan]
    correct = [True, False, False, True, True]
    expected = (abs(1.82 - 1) + abs(0.3 - 0) + abs(1.0 - 1)) / 4
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)


def test_a_bin_holds_its_upper_end() -> None:
    assert expected_calibration_error([1 / 3, 0.3], [True, False]) == pytest.approx(abs(1 / 3 + 0.3 - 1) / 2)
    assert expected_calibration_error([1 / 3, 0.34], [True, False]) == pytest.approx((2 / 3 + 0.34) / 2)


def test_the_error_of_nothing_and_of_certainty() -> None:
    assert expected_calibration_error([], []) == 0.0
    assert expected_calibration_error([math.nan], [True]) == 0.0
    assert expected_calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0.0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_the_error_is_between_the_overall_gap_and_the_mean_distance(rows: list[tuple[float, bool]]) -> None:
    confidence, correct = (np.array(column, float) for column in zip(*rows, strict=True))
    error = expected_calibration_error(confidence, correct)
    assert abs(confidence.mean() - correct.mean()) - 1e-12 <= error <= np.abs(confidence - correct).mean() + 1e-12
