"""Intervals hold what they should as often as they say, and pairing pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.statistics import interval, paired

FIGURES = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


def test_the_interval_of_a_normal_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(50, 20, size=2_000)
    low, high = interval(values, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_about_95_of_100_intervals_hold_the_true_mean() -> None:
    generator = np.random.default_rng(1)
    samples = 100.0 * (generator.random((400, 200)) < 0.3)  # exact match of a system that knows 30%
    ends = [interval(sample, seed=number, resamples=500) for number, sample in enumerate(samples)]
    held = sum(low <= 30 <= high for low, high in ends)
    assert 0.90 * 400 <= held <= 0.985 * 400  # the binomial's standard deviation is 1.1%


def test_equal_systems_are_seldom_told_apart() -> None:
    generator = np.random.default_rng(2)
    one, other = 100.0 * (generator.random((2, 400, 200)) < 0.5)
    found = [
        paired(a, b, seed=number, resamples=500).distinguishable
        for number, (a, b) in enumerate(zip(one, other, strict=True))
    ]
    assert 0.015 * 400 <= sum(found) <= 0.10 * 400


def test_differences_that_cancel_in_a_resample_are_exactly_0() -> None:
    """Summed as floats they leave a trace of 1e-16, and an interval that ends there would leave out 0."""
    first, second = [100.0, 50.0, 200 / 7, 0.0], [600 / 7, 100.0, 100 / 3, 200 / 3]
    found = [paired(first, second, seed=seed, resamples=100) for seed in range(30)]
    assert all(end == 0 or abs(end) > 1e-7 for each in found for end in (each.low, each.high))


def test_pairing_tells_apart_what_two_intervals_do_not() -> None:
    generator = np.random.default_rng(3)
    difficulty = generator.normal(50, 30, size=500)
    first = difficulty + 2 + generator.normal(0, 5, size=500)
    second = difficulty + generator.normal(0, 5, size=500)
    difference = paired(first, second, seed=0)
    assert difference.distinguishable
    assert difference.mean == pytest.approx(first.mean() - second.mean())
    assert interval(first, seed=0)[0] < interval(second, seed=0)[1], "their own intervals overlap"
    shuffled = paired(first, generator.permutation(second), seed=0)
    assert not shuffled.distinguishable
    assert difference.high - difference.low < 0.5 * (shuffled.high - shuffled.low)


@given(FIGURES)
def test_a_run_is_not_distinguishable_from_itself(values: list[float]) -> None:
    found = paired(values, values, seed=0, resamples=100)
    assert (found.mean, found.low, found.high, found.opposite) == (0, 0, 0, 1)
    assert not found.distinguishable


@given(FIGURES, st.integers(0, 2**40))
def test_the_other_way_round_is_the_mirror_image(values: list[float], seed: int) -> None:
    zeros = [0.0] * len(values)
    there, back = paired(values, zeros, seed=seed, resamples=200), paired(zeros, values, seed=seed, resamples=200)
    assert there.mean == pytest.approx(-back.mean)
    assert min(values) - 1e-6 <= there.low <= there.high <= max(values) + 1e-6
    assert 0 <= there.opposite <= 1
    assert not (there.low > 0 and back.low > 0)


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    values = np.random.default_rng(4).normal(size=300)
    assert interval(values, seed=7) == interval(values, seed=7)
    assert interval(values, seed=7) != interval(values, seed=8)
    assert paired(values, values**2, seed=7) == paired(values, values**2, seed=7)


def test_the_memory_used_at_once_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).normal(size=200)
    whole = interval(values, seed=0, resamples=1_000)
    monkeypatch.setattr("qakit.statistics.CHUNK", 700)
    assert interval(values, seed=0, resamples=1_000) == pytest.approx(whole, rel=1e-12)


def test_a_wider_level_is_a_wider_interval() -> None:
    values = np.random.default_rng(6).normal(size=100)
    (low, high), (lower, higher) = interval(values, seed=0, level=0.8), interval(values, seed=0, level=0.99)
    assert lower < low < high < higher


def test_sums_in_another_order_are_no_difference() -> None:
    first = [(0.1 + 0.2) + 0.3] * 20
    second = [0.1 + (0.2 + 0.3)] * 20
    assert first != second
    assert not paired(first, second, seed=0).distinguishable


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]], ids=["none", "nan", "inf"])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite figure"):
        interval(values, seed=0)


def test_unequal_numbers_of_questions_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="2 figures cannot be paired with 3"):
        paired([1, 2], [1, 2, 3], seed=0)
