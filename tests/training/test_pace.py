"""What fits into the time that is left, and how a schedule is gone through at another pace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tiny_plan, tiny_recipe

from qakit.training.optim import rate_factor
from qakit.training.plan import EVALUATING, Costs, Forecast, Pace

PLAN = tiny_plan(40, 80, 120)


def forecast(step: int = 21, *, evaluation: float = 5.0, **train: object) -> Forecast:
    return Forecast(PLAN, tiny_recipe(**train).train, Costs(1.0, evaluation, 0.5), step)


def test_the_way_is_steps_evaluations_and_checkpoints_without_what_comes_at_the_end() -> None:
    each = forecast(evaluate_every=10, checkpoint_every=30)
    assert each.seconds(61, 1) == pytest.approx(40 + 4 * 5.5 + 2 * 0.5)  # after 30, 40, 50, 60; 30, 60
    assert each.seconds(60, 2) == pytest.approx(39 + 1 * 5.5 + 1 * 0.5)  # after 40: the one after 60 is the last
    assert forecast().seconds(120, 1) == pytest.approx(99 + 2 * 5.5 + 2 * 0.5)  # the ends of two epochs
    assert forecast(40).seconds(80, 1) == pytest.approx(40 + 5.5 + 0.5)  # the evaluation that comes next


def test_slower_steps_take_longer() -> None:
    alone = replace(forecast(evaluate_every=1000, checkpoint_every=1000), costs=Costs(4.0, 5.0, 1.0))
    assert alone.seconds(31, 1) == 40.0


def test_a_training_whose_steps_are_given_back_goes_on_where_it_is() -> None:
    """It has as many steps as the recipe again, of which the first went through the schedule faster."""
    pace = Pace(10, 40.0, PLAN.steps)
    assert not pace.is_own(PLAN)
    assert (pace.at(10, PLAN), pace.at(PLAN.steps, PLAN)) == (40.0, PLAN.steps)


def test_evaluations_are_left_out_before_steps() -> None:
    dear = forecast(evaluate_every=10, evaluation=20.0)
    assert dear.fitting(1000) == (120, 1)
    steps, every = dear.fitting(150)
    assert every > 1
    assert steps > dear.longest(150, 1)


def test_evaluations_that_cost_little_all_stay_where_steps_are_left_out() -> None:
    assert forecast(evaluate_every=20, evaluation=0.1).fitting(50) == (69, 1)


@given(
    step=st.integers(1, 120),
    left=st.floats(-50, 400),
    evaluation=st.floats(0.1, 60),
    every=st.integers(1, 50) | st.just("epoch"),
)
def test_the_most_that_fits_is_planned(step: int, left: float, evaluation: float, every: int | str) -> None:
    each = forecast(step, evaluation=evaluation, evaluate_every=every)
    steps, chosen = each.fitting(left)
    assert step <= steps <= PLAN.steps
    assert each.seconds(steps, chosen) <= max(0.0, left)
    assert steps == PLAN.steps or each.seconds(steps + 1, chosen) > left
    without = each.longest(left, 1000)
    assert steps - step >= (1 - EVALUATING) * (without - step)


@given(changes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 60)), max_size=4))
def test_the_schedule_is_gone_through_without_a_jump_to_its_end(changes: list[tuple[int, int]]) -> None:
    pace, at, positions = Pace.of(PLAN, None), 0, [0.0]
    for walk, rest in changes:
        if at + walk >= pace.steps:
            break
        positions += [pace.at(step, PLAN) for step in range(at + 1, at + walk + 1)]
        at += walk
        pace = pace.changed(at, PLAN, steps=min(PLAN.steps, at + rest), every=1)
        assert pace.at(at, PLAN) == positions[-1]
    positions += [pace.at(step, PLAN) for step in range(at + 1, pace.steps + 1)]
    assert positions == sorted(positions)
    assert positions[-1] == PLAN.steps
    factors = [rate_factor(each, total=PLAN.steps, warmup=0, schedule="linear") for each in positions]
    assert factors[-1] == 0


def test_the_recipes_own_pace_changes_no_bit() -> None:
    pace = Pace.of(PLAN, None)
    assert [pace.at(step, PLAN) for step in range(121)] == list(range(121))
    assert Pace.of(PLAN, [12, 30.5, 50, 2]) == Pace(12, 30.5, 50, 2)
