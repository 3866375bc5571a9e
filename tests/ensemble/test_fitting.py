"""Weights on the simplex, and temperatures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.ensembling.method import learnt_values
from qakit.errors import UsageError
from qakit_ensemble.fitting import HIGHEST, fit_temperature, greedy_weights, mixture_weights, temperature_rows


@given(st.integers(0, 2**32), st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_no_other_mixture_makes_the_events_likelier(seed: int, count: int) -> None:
    events = np.random.default_rng(seed).uniform(0.01, 1, (count, 3))
    weights = mixture_weights(events)
    assert math.fsum(weights) == pytest.approx(1, abs=1e-3)

    def likelihood(mixture: np.ndarray) -> float:
        return float(np.log(events @ (mixture / mixture.sum())).mean())

    grid = [np.array([a, b, 20 - a - b]) / 20 for a in range(21) for b in range(21 - a)]
    assert likelihood(np.array(weights)) >= max(map(likelihood, grid)) - 1e-3


def test_events_that_nobody_foresaw_say_nothing() -> None:
    seen = np.array([[0.9, 0.1], [0.2, 0.6]])
    assert mixture_weights(np.vstack([seen, [[0, 0]]])) == mixture_weights(seen)
    with pytest.raises(UsageError, match="no member has a right answer"):
        mixture_weights(np.zeros((3, 2)))


def test_greedy_selection_stops_at_the_best_round() -> None:
    target = np.array([0.25, 0.75, 0.0])
    weights = greedy_weights(3, lambda counts: float(((counts / counts.sum() - target) ** 2).sum()))
    assert weights == pytest.approx(target.tolist(), abs=0.01)


def test_equal_weights_where_nothing_is_better() -> None:
    assert greedy_weights(3, lambda _: 1.0) == pytest.approx((1 / 3,) * 3, abs=1e-3)


@pytest.mark.parametrize("members", [3, 27, 31, 60, 107])
def test_weights_of_many_members_sum_to_one_though_they_are_rounded(members: int) -> None:
    for weights in (mixture_weights(np.full((10, members), 0.5)), greedy_weights(members, lambda _: 1.0)):
        assert learnt_values((weights, (1.0,) * members), members=members, name="any")[0] == weights
        assert math.fsum(weights) == pytest.approx(1)


@given(st.floats(0.2, 5))
@settings(deadline=None)
def test_the_temperature_is_where_the_loss_is_least(wanted: float) -> None:
    found = fit_temperature(lambda value: (math.log(value) - math.log(wanted)) ** 2)
    assert found == pytest.approx(wanted, rel=0.01)


def test_a_temperature_stays_within_bounds_and_at_one_without_reason() -> None:
    assert fit_temperature(lambda value: -value) == pytest.approx(HIGHEST, rel=0.01)
    assert fit_temperature(lambda _: 0.0) == 1.0


def test_temperatures_are_fitted_on_some_of_many_questions() -> None:
    chosen = temperature_rows(range(5000))
    assert len(set(chosen.tolist())) == len(chosen) == 1000
    assert sorted(chosen.tolist()) == chosen.tolist() == temperature_rows(range(5000)).tolist()
    assert temperature_rows([4, 2]).tolist() == [4, 2]
