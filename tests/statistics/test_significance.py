"""Sign flips and Holm's correction."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.statistics import holm, sign_flips


def p_of(differences: list[float], *, seed: int = 0, draws: int = 2000) -> float:
    return sign_flips(differences, [0.0] * len(differences), seed=seed, draws=draws)


def by_trying_all(differences: list[float]) -> float:
    sums = [abs(sum(signed)) for signed in product(*((each, -each) for each in differences))]
    return sum(each >= abs(sum(differences)) - 1e-6 for each in sums) / len(sums)


@pytest.mark.parametrize("changed", [1, 5, 6, 19, 300])
def test_changes_that_are_all_better_are_as_likely_as_coins(changed: int) -> None:
    assert p_of([100.0] * changed + [0.0] * 40) == pytest.approx(2 * 0.5**changed)
    assert p_of([-100.0] * changed) == pytest.approx(2 * 0.5**changed)


def test_what_does_not_change_says_nothing() -> None:
    assert p_of([0.0] * 9) == 1
    assert p_of([100.0, -100.0, 0.0]) == 1
    assert p_of([100.0] * 9 + [-100.0] * 2) == pytest.approx(2 * sum(comb(11, k) for k in range(3)) / 2**11)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([-100.0, -33.3, 0.0, 0.1, 20.0, 66.6]) | st.integers(-99, 99).map(lambda n: n / 7), max_size=9
    )
)
def test_it_is_the_share_of_all_signs(differences: list[float]) -> None:
    assert p_of(differences) == pytest.approx(by_trying_all(differences))


def test_with_many_sizes_signs_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = [float(7 * number % 23) - 9 for number in range(1, 19)]
    exact = p_of(differences)
    assert 0.1 < exact < 0.9
    monkeypatch.setattr("qakit.statistics.EXACT_SUMS", 1)
    drawn = p_of(differences, draws=20_000)
    assert drawn == pytest.approx(exact, abs=0.02)
    assert drawn == p_of(differences, draws=20_000) != p_of(differences, draws=20_000, seed=1)
    assert p_of([100.0] * 60, draws=99) == 1 / 100, "what was seen is one of the ways"
    monkeypatch.setattr("qakit.statistics.CHUNK", 50)
    assert p_of(differences, draws=20_000) == pytest.approx(exact, abs=0.02)


def test_a_kept_step_is_chance_in_less_than_one_of_twenty_searches() -> None:
    """Eight steps that each change twenty answers, for better or worse as a coin falls."""
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(400):
        signs = generator.choice([-100.0, 100.0], (8, 20)).tolist()
        corrected = holm({number: p_of(each) for number, each in enumerate(signs)})
        found += any(corrected[number] < 0.05 and sum(each) > 0 for number, each in enumerate(signs))
    assert 0 < found / 400 < 0.05


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.5, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
