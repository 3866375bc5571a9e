"""How long a training is, in steps and in epochs of different lengths."""

from __future__ import annotations

from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tiny_plan, tiny_recipe

from qakit.training.plan import Plan


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5), data=st.data())
def test_passes_over_the_examples_are_counted_as_the_loop_does(sizes: list[int], data: st.DataObject) -> None:
    ends = list(accumulate(sizes))
    plan = tiny_plan(*ends, steps=data.draw(st.integers(1, ends[-1])))
    begun = [epoch + position / size for epoch, size in enumerate(sizes) for position in range(size)]
    assert [plan.passed(step) for step in range(ends[-1])] == begun
    assert plan.passed(ends[-1]) == len(sizes)
    assert plan.last_begins == begun[plan.steps - 1] < plan.epochs
    assert plan.epochs == [*begun, len(sizes)][plan.steps]


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5), every=st.integers(1, 9), data=st.data())
def test_what_is_done_every_so_often(sizes: list[int], every: int, data: st.DataObject) -> None:
    ends = list(accumulate(sizes))
    plan = tiny_plan(*ends, steps=data.draw(st.integers(1, ends[-1])))
    assert list(plan.due("epoch")) == [end for end in ends if end <= plan.steps]
    assert list(plan.due(every)) == [step for step in range(1, plan.steps + 1) if step % every == 0]


@pytest.mark.parametrize(
    ("settings", "steps", "ends"),
    [
        ({"epochs": 2.5}, 10, (4, 8, 12)),
        ({"epochs": 2}, 8, (4, 8)),
        ({"epochs": 0.1}, 1, (4,)),
        ({"epochs": 3, "max_steps": 5}, 5, (4, 8)),
    ],
)
def test_it_is_as_long_as_the_recipe_says(settings: dict[str, Any], steps: int, ends: tuple[int, ...]) -> None:
    """In epochs of four batches, up to the end of the one in which the training ends."""
    feed: Any = SimpleNamespace(epoch=lambda number: SimpleNamespace(number=number, batches=range(4)))
    plan = Plan.of(tiny_recipe(**settings), feed)
    assert (plan.steps, plan.ends) == (steps, ends)


def test_an_epoch_may_be_half_done() -> None:
    plan = tiny_plan(18, 24, steps=21)
    assert (plan.epochs, plan.last_begins) == (1.5, pytest.approx(1 + 2 / 6))


@given(steps=st.integers(1, 300), wanted=st.integers(1, 40))
def test_so_many_evaluations_are_evenly_spread_and_never_fewer(steps: int, wanted: int) -> None:
    plan = tiny_plan(steps)
    section = plan.settled(tiny_recipe(evaluations=wanted).train)
    due = list(plan.due(section.evaluate_every))
    assert len(due) >= min(wanted, steps)
    assert len({later - earlier for earlier, later in pairwise([0, *due])}) == 1
    assert len(due) < 2 * wanted or len(due) == steps


def test_without_a_number_evaluations_come_as_the_recipe_says() -> None:
    section = tiny_recipe(evaluate_every=7).train
    assert tiny_plan(20).settled(section) is section
