"""Steps that are left out, and a loss that does not fall."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from qakit.errors import RunError
from qakit.training import guards
from qakit.training.checkpoints import Progress
from qakit.training.guards import StepGuard, Tally, is_time_to_look, not_learning, told_when_memory_ends

NAN, INF = float("nan"), float("inf")


def guarded() -> tuple[torch.nn.Parameter, torch.optim.AdamW, StepGuard]:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([weight], lr=0.1, fused=True)
    return weight, optimiser, StepGuard(optimiser, device=torch.device("cpu"), scaled=False)


def step(
    weight: torch.nn.Parameter, optimiser: torch.optim.AdamW, guard: StepGuard, *, loss: float, gradient: float
) -> float:
    weight.grad = torch.tensor([gradient, 1.0])
    kept = guard.judge(torch.tensor(loss), weight.grad.norm())
    optimiser.step()
    return float(kept)


@pytest.mark.parametrize("broken", [NAN, INF, -INF])
def test_a_step_with_broken_gradients_changes_neither_weights_nor_moments(broken: float) -> None:
    weight, optimiser, guard = guarded()
    assert step(weight, optimiser, guard, loss=2.0, gradient=1.0) == 2.0
    before = [weight.detach().clone(), *(value.clone() for value in optimiser.state[weight].values())]
    assert step(weight, optimiser, guard, loss=broken, gradient=broken) == 0.0
    after = [weight.detach(), *optimiser.state[weight].values()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert guard.read() == (1, 1)
    step(weight, optimiser, guard, loss=1.0, gradient=1.0)
    assert not torch.equal(before[0], weight)


def test_a_broken_loss_with_finite_gradients_is_left_out_too() -> None:
    weight, optimiser, guard = guarded()
    step(weight, optimiser, guard, loss=INF, gradient=1.0)
    assert torch.equal(weight.detach(), torch.ones(2))
    assert guard.read() == (1, 1)


def test_steps_in_a_row_are_counted_until_one_is_done() -> None:
    weight, optimiser, guard = guarded()
    for gradient, expected in ((NAN, (1, 1)), (NAN, (1, 2)), (1.0, (0, 0)), (NAN, (1, 1))):
        step(weight, optimiser, guard, loss=1.0, gradient=gradient)
        assert guard.peek() == expected
        assert guard.read() == expected


def test_a_checkpoint_carries_the_row_on() -> None:
    weight, optimiser, _ = guarded()
    guard = StepGuard(optimiser, device=torch.device("cpu"), scaled=False, in_a_row=4)
    step(weight, optimiser, guard, loss=1.0, gradient=NAN)
    assert guard.read() == (1, 5)


def test_with_a_loss_scaler_the_optimiser_is_left_to_it_and_the_steps_are_counted() -> None:
    _, optimiser, _ = guarded()
    guard = StepGuard(optimiser, device=torch.device("cpu"), scaled=True)
    guard.judge(torch.tensor(1.0), torch.tensor(INF))
    assert not hasattr(optimiser, "found_inf")
    assert guard.read() == (1, 1)


@pytest.mark.parametrize(("scaled", "limit"), [(False, 10), (True, 26)])
def test_a_scaler_may_look_for_its_scale_before_steps_are_too_many(scaled: bool, limit: int) -> None:
    _, optimiser, _ = guarded()
    guard = StepGuard(optimiser, device=torch.device("cpu"), scaled=scaled)
    assert not guard.is_beyond_hope(limit - 1, allowed=10, done=None)
    assert guard.is_beyond_hope(limit, allowed=10, done=None)
    assert guard.is_beyond_hope(3, allowed=10, done=3)
    assert not guard.is_beyond_hope(3, allowed=10, done=4)


@pytest.mark.parametrize(
    ("losses", "remarks"),
    [
        ([5.0, 5.1, 4.9, 5.0, 5.2, 5.1], True),
        ([5.0, 4.8, 4.5, 4.2, 4.0, 3.9], False),
        ([5.0, 5.04, 4.9, 4.97, 5.0, 4.98], True),  # half a percent
        ([5.0, 4.0], False),  # too few to say
    ],
)
def test_a_loss_that_does_not_fall_is_remarked_on(losses: list[float], remarks: bool) -> None:
    assert (not_learning(losses) is not None) == remarks


@pytest.mark.parametrize(
    ("steps", "log_every", "expected"),
    [(1000, 10, [150]), (1010, 10, [160]), (100, 10, [60]), (30, 1, [6]), (7, 3, [])],
)
def test_the_loss_is_looked_at_once_or_never(steps: int, log_every: int, expected: list[int]) -> None:
    """After 15% of the steps, and not before six lines of the log."""
    looks = [
        at for at in range(log_every, steps + 1, log_every) if is_time_to_look(at, steps=steps, log_every=log_every)
    ]
    assert looks == expected


def test_the_logged_loss_is_the_mean_of_the_steps_that_were_done() -> None:
    *_, guard = guarded()
    tally = Tally(guard, Progress(), device=torch.device("cpu"))
    for loss in (1.0, NAN, 5.0):
        tally.add(guard.judge(torch.tensor(loss), torch.tensor(1.0)), windows=6)
    counted = tally.read()
    assert (counted.loss, counted.skipped, counted.any_done) == (3.0, 1, True)
    tally.add(guard.judge(torch.tensor(4.0), torch.tensor(1.0)), windows=6)
    assert tally.read().loss == 4.0


def test_pauses_are_not_counted_in_windows_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(guards.time, "perf_counter", lambda: clock.now)
    *_, guard = guarded()
    tally = Tally(guard, Progress(), device=torch.device("cpu"))
    for _ in range(2):  # each reading counts anew
        tally.add(torch.tensor(1.0), windows=6)
        clock.now += 2
        with tally.paused():
            clock.now += 50
        tally.add(torch.tensor(1.0), windows=6)
        clock.now += 1
        assert tally.read().windows_per_second == 4


def test_work_that_cannot_be_cut_says_what_to_do_when_memory_runs_out() -> None:
    with (
        pytest.raises(RunError, match="out of memory in the update: choose less"),
        told_when_memory_ends("in the update", "choose less"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shapes"), told_when_memory_ends("in the update", "choose less"):
        raise RuntimeError("shapes")
