"""The learning rate over a training."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.training.optim import rate_factor, warmup_steps


def test_warmup_below_one_is_a_share_of_all_steps() -> None:
    assert warmup_steps(0.1, 200) == 20
    assert warmup_steps(30, 200) == 30
    assert warmup_steps(1, 200) == 1  # a step, not all of them
    assert warmup_steps(0, 200) == 0


def test_linear_rises_to_the_peak_and_falls_along_a_line() -> None:
    factors = [rate_factor(step, total=10, warmup=3, schedule="linear") for step in range(10)]
    assert factors == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7])


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_a_warmup_of_all_steps_but_one_ends_at_the_peak(schedule: Any) -> None:
    assert rate_factor(9, total=10, warmup=9, schedule=schedule) == pytest.approx(1)


def test_cosine_is_at_half_in_the_middle_and_constant_stays() -> None:
    assert rate_factor(5, total=10, warmup=0, schedule="cosine") == pytest.approx(0.5)
    assert rate_factor(9, total=10, warmup=2, schedule="constant") == 1.0


@given(
    total=st.integers(1, 500),
    share=st.floats(0, 1),
    schedule=st.sampled_from(["linear", "cosine", "constant"]),
)
def test_no_step_has_rate_zero_and_none_exceeds_the_peak(total: int, share: float, schedule: str) -> None:
    warmup = warmup_steps(share, total)
    factors = [rate_factor(step, total=total, warmup=warmup, schedule=schedule) for step in range(total)]  # type: ignore[arg-type]
    assert all(0 < factor <= 1 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
