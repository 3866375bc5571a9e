"""Stochastic weight averaging: the mean of the weights after the steps that count, and nothing before them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import tiny_model, tiny_plan, tiny_recipe

from qakit.errors import UsageError
from qakit.recipe.model import TrainSection
from qakit.recipe.tricks import SwaSection
from qakit.training.averaging import Equal, WeightAverage
from qakit.training.optim import rate_factor, step_factor
from qakit.training.tricks import check_tricks

STEPS = 20


def averaged(section: SwaSection) -> tuple[torch.nn.Linear, WeightAverage]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, WeightAverage(model, Equal(section, STEPS))


def change(model: torch.nn.Linear, step: int) -> torch.Tensor:
    """A step of a training; the weights after it."""
    with torch.no_grad():
        model.weight += torch.randn(2, 3, generator=torch.Generator().manual_seed(step))
    return model.weight.detach().clone()


@settings(deadline=None, max_examples=40)
@given(start=st.floats(0, 0.99), every=st.integers(1, 9))
def test_it_is_the_mean_of_the_weights_after_every_so_many_steps_of_the_last_part(start: float, every: int) -> None:
    model, average = averaged(SwaSection(start=start, every=every))
    seen = []
    for step in range(1, STEPS + 1):
        weight = change(model, step)
        average.update(step, ends_epoch=False)
        if step % every == 0 and step > int(start * STEPS):
            seen.append(weight)
        expected = torch.stack(seen).double().mean(0).float() if seen else weight
        with average.in_place():
            torch.testing.assert_close(model.weight.detach(), expected)
        assert torch.equal(model.weight, weight)


def test_in_a_shortened_training_the_last_part_is_that_of_its_schedule() -> None:
    model, average = averaged(SwaSection(start=0.5, every=1))
    weights = []
    for step in range(1, STEPS // 2 + 1):  # each is two of the recipe's
        weights.append(change(model, step))
        average.update(step, position=2 * step, ends_epoch=False)
    torch.testing.assert_close(average.tensors()["weight"], torch.stack(weights[STEPS // 4 :]).mean(0))


def test_it_may_take_the_ends_of_epochs() -> None:
    model, average = averaged(SwaSection(start=0.5, every="epoch"))
    ends = {7: torch.empty(0), 14: torch.empty(0), 20: torch.empty(0)}
    for step in range(1, STEPS + 1):
        weight = change(model, step)
        average.update(step, ends_epoch=step in ends)
        if step in ends:
            ends[step] = weight
    torch.testing.assert_close(average.tensors()["weight"], (ends[14] + ends[20]) / 2)


@pytest.mark.parametrize("broken_after", [9, 10, 13])
def test_it_goes_on_from_a_checkpoint_as_if_nothing_had_happened(broken_after: int) -> None:
    section = SwaSection(start=0.5, every=2)
    model, average = averaged(section)
    for step in range(1, STEPS + 1):
        change(model, step)
        average.update(step, ends_epoch=False)
        if step == broken_after:
            kept = {name: value.clone() for name, value in average.state().items()}
            average = WeightAverage(model, Equal(section, STEPS))
            average.load(kept)
    other, uninterrupted = averaged(section)
    for step in range(1, STEPS + 1):
        change(other, step)
        uninterrupted.update(step, ends_epoch=False)
    assert all(torch.equal(value, average.state()[name]) for name, value in uninterrupted.state().items())


def test_the_rate_may_be_constant_from_the_start_of_the_part_on() -> None:
    section = TrainSection.model_validate({"learning_rate": 1e-3, "swa": {"start": 0.7, "learning_rate": 2e-4}})
    factors = [step_factor(section, step, total=STEPS, warmup=2) for step in range(STEPS)]
    plain = [rate_factor(step, total=STEPS, warmup=2, schedule="linear") for step in range(STEPS)]
    assert factors == [*plain[:14], *[2e-4 / 1e-3] * 6]
    going_on = TrainSection.model_validate({"swa": {"start": 0.7}})
    assert [step_factor(going_on, step, total=STEPS, warmup=2) for step in range(STEPS)] == plain


def test_an_average_of_nothing_is_refused_and_one_of_a_single_step_remarked_on() -> None:
    def remarks(**swa: object) -> list[str]:
        recipe = tiny_recipe(swa=swa)
        return list(check_tricks(recipe, tiny_model(), tiny_plan(5, 10), validated=False))

    with pytest.raises(UsageError, match="none of the last 3 of 10 steps is a multiple of 11; lower"):
        remarks(every=11)
    assert ["only one step's weights" in line for line in remarks(every="epoch")] == [True]
    assert remarks(every=1) == []


def test_two_averages_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="ema and swa are two averages of the same weights"):
        tiny_recipe(ema={}, swa={})
