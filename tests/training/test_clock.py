"""A training whose time is limited, on a clock that its steps and evaluations move."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tiny_model import tiny_model, tiny_plan, tiny_recipe, weights_of

from qakit.distributed import ALONE
from qakit.modeling.model import ReadingModel
from qakit.runs import Run
from qakit.training import clock as clock_module
from qakit.training.checkpoints import Progress, Resuming
from qakit.training.clock import CLOSING, MEASURED, WARM, Clock, account
from qakit.training.events import Event, Replanned, StepDone, silence
from qakit.training.feed import Epoch
from qakit.training.interrupts import StopRequest
from qakit.training.journal import Journal
from qakit.training.loop import train
from qakit.training.optim import build_optimiser
from qakit.training.plan import Pace

BUDGET = 600.0
STEPS = 100


class KilledError(Exception):
    """As if by SIGKILL."""


@dataclass
class Bench:
    """Trainings in one folder, and the clock on the wall."""

    folder: Path
    now: float = 0.0
    step: Callable[[int], float] = lambda _: 10.0
    """Seconds of a step, by the steps before."""
    evaluation: float = 20.0
    kill: int | None = None
    """In which step."""
    model: ReadingModel = field(default_factory=tiny_model)
    evaluated: list[int] = field(default_factory=list)
    rates: dict[int, float] = field(default_factory=dict)
    told: list[Replanned] = field(default_factory=list)

    def train(self, *, resume: bool = False, limited: bool = True, since: float = 0.0, **settings: Any) -> Progress:
        usual = {"learning_rate": 1e-3, "warmup": 10, "log_every": 5, "evaluate_every": 20, "checkpoint_every": 20}
        recipe = tiny_recipe(**(usual | settings))
        run, accelerator = Run(self.folder), Accelerator(cpu=True)
        journal = Journal(run)
        self.model = tiny_model(backbone_dropout=0.1)
        optimiser = build_optimiser(self.model, recipe.train)
        resuming = Resuming(run, "x", 2, accelerator, ALONE, journal, silence)
        began = resuming.restore(self.model, optimiser, resume=resume)

        def taken(step: int, **_: Any) -> None:
            if step == self.kill:
                raise KilledError
            self.now += self.step(step - 1)

        def saved(progress: Progress) -> None:
            resuming.save(progress, self.model, optimiser)

        def evaluated(progress: Progress) -> Progress:
            self.now += self.evaluation
            self.evaluated.append(progress.step)
            return progress

        clock = Clock(
            BUDGET / 3600, since + BUDGET, since, ALONE, scoring=(self.evaluation - 1) / 1.1, validation_windows=1
        )
        keeper = SimpleNamespace(
            checkpoint=saved,
            evaluate=evaluated,
            combine_kept=lambda _: None,
            complete_checkpoint=resuming.complete,
            save_batch=None,
        )
        return train(
            recipe,
            tiny_plan(*range(1, STEPS + 1)),
            SimpleNamespace(epoch=_next_epoch),  # type: ignore[arg-type]
            accelerator=accelerator,
            model=self.model,
            optimiser=optimiser,
            tricks=SimpleNamespace(attack=None, freezing=None, average=SimpleNamespace(update=taken)),  # type: ignore[arg-type]
            keeper=keeper,
            journal=journal,
            progress=began,
            listener=self.hear,
            stop_request=StopRequest(),
            clock=clock if limited else None,
        )

    def hear(self, event: Event) -> None:
        if isinstance(event, Replanned):
            self.told.append(event)
        if isinstance(event, StepDone) and event.learning_rate is not None:
            self.rates[event.step] = event.learning_rate


def _next_epoch(number: int, *, previous: Epoch) -> Epoch:
    return replace(previous, number=number)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    monkeypatch.setattr(clock_module, "now", lambda: bench.now)
    yield bench


@pytest.mark.parametrize(
    "step",
    [
        lambda _: 10.0,
        lambda done: 30.0 if done == 0 else 8.0,  # it warms up
        lambda done: 4.0 if done < 40 else 8.0,  # somebody else comes
        lambda done: 15.0 if done < 20 else 5.0,  # or goes
    ],
    ids=["steady", "slow at first", "slower", "faster"],
)
def test_the_time_is_used_and_the_schedule_reaches_its_end(bench: Bench, step: Callable[[int], float]) -> None:
    bench.step = step
    progress = bench.train()
    assert 0.95 * BUDGET <= bench.now + CLOSING <= 1.01 * BUDGET
    assert 1 < progress.step < STEPS
    assert bench.evaluated[-1] == progress.step
    rates = list(bench.rates.values())
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 0.1 * rates[peak]


def test_a_step_takes_the_mean_of_those_after_the_first_ones(bench: Bench) -> None:
    clock = Clock(BUDGET / 3600, BUDGET, 0.0, ALONE)
    plan, section = tiny_plan(STEPS), tiny_recipe().train
    clock.begin()
    for seconds in [40.0] * WARM + [0.25, 0.75] * (MEASURED // 2):
        bench.now += seconds
        clock.stepped()
    clock.look(WARM + MEASURED, Pace.of(plan, None), plan, section, waits=True)
    assert clock.step == pytest.approx(0.5)


def test_what_fits_is_trained_as_without_a_clock(bench: Bench) -> None:
    bench.step = lambda _: 2.0
    assert bench.train().step == STEPS
    assert bench.told == []
    timed, lines = weights_of(bench.model), Run(bench.folder).metrics_log.read_bytes()
    bench.train(limited=False)
    assert all(torch.equal(value, timed[name]) for name, value in weights_of(bench.model).items())
    assert Run(bench.folder).metrics_log.read_bytes() == lines


def test_a_killed_training_goes_on_as_it_was_planned(bench: Bench) -> None:
    whole = bench.train()
    weights, lines, told = weights_of(bench.model), Run(bench.folder).metrics_log.read_bytes(), list(bench.told)
    assert [each.steps for each in told] == [whole.step]  # a steady machine: it is decided once
    bench.now, bench.kill = 0.0, 28
    with pytest.raises(KilledError):
        bench.train()
    bench.kill = None
    bench.train(resume=True, since=10.0 * 7)  # had the seven steps that are done again cost nothing
    assert bench.told == told * 2  # nothing new since the kill
    assert all(torch.equal(value, weights[name]) for name, value in weights_of(bench.model).items())
    assert Run(bench.folder).metrics_log.read_bytes() == lines


def test_without_new_hours_the_plan_stays_and_with_more_of_them_it_grows(bench: Bench) -> None:
    bench.kill = 30
    with pytest.raises(KilledError):
        bench.train()
    bench.kill = None
    planned = bench.told[-1].steps
    kept = shutil.copytree(bench.folder, bench.folder / "kept", ignore=shutil.ignore_patterns("kept"))
    progress = bench.train(resume=True, limited=False)
    assert progress.step == planned < STEPS
    steps = {"steps": planned, "of_steps": STEPS}
    assert account(None, progress, tiny_plan(*range(1, STEPS + 1))) == {"clock": {"hours": None} | steps}
    assert account(None, replace(progress, pace=None), tiny_plan(*range(1, STEPS + 1))) == {}
    bench.folder = kept
    assert bench.train(resume=True, since=bench.now + BUDGET).step == STEPS


def test_what_a_kill_has_cost_is_taken_from_the_rest(bench: Bench) -> None:
    bench.kill = 45
    with pytest.raises(KilledError):
        bench.train(checkpoint_every=1000, evaluate_every=1000)
    bench.kill = None
    assert bench.train(resume=True, checkpoint_every=1000, evaluate_every=1000).step < bench.told[0].steps
    assert 0.95 * BUDGET <= bench.now + CLOSING <= 1.01 * BUDGET


def test_evaluations_that_take_too_much_are_left_out_and_it_is_said(bench: Bench) -> None:
    bench.evaluation = 60.0
    progress = bench.train(evaluate_every=5)
    assert "of the evaluations one in " in bench.told[0].message
    assert 2 <= len(bench.evaluated) < progress.step // 5
    assert 0.95 * BUDGET <= bench.now + CLOSING <= 1.01 * BUDGET


def test_with_no_time_at_all_one_step_is_trained_and_judged(bench: Bench) -> None:
    bench.now = BUDGET
    assert bench.train().step == 1
    assert bench.evaluated == [1]
    assert bench.train(resume=True).step == 1


def test_the_checkpoint_knows_the_pace(bench: Bench) -> None:
    progress = bench.train()
    assert progress.pace is not None
    assert Pace(*progress.pace).steps == progress.step


def test_a_recipes_hours_count_earlier_parts_and_a_commands_do_not(bench: Bench, tmp_path: Path) -> None:
    run, recipe = Run(tmp_path), tiny_recipe(max_hours=2)
    run.timings_log.write_text('{"type": "train"}\n{"type": "train", "elapsed": 1800.0}\n{"ela', "utf-8")
    bench.now = 50_000
    own = Clock.of(recipe, run, ALONE, began=49_990.0, deadline=None)
    assert own is not None
    assert own.left == 1.5 * 3600 - 10
    assert own.elapsed() == 1810
    sooner = Clock.of(recipe, run, ALONE, began=49_990.0, deadline=50_100.0)
    assert sooner is not None and sooner.left == 100
    later = Clock.of(recipe, run, ALONE, began=49_990.0, deadline=90_000.0)
    assert later is not None and later.left == own.left
    assert Clock.of(tiny_recipe(), run, ALONE, began=0.0, deadline=None) is None
