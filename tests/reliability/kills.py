"""SIGKILL at moments drawn by a seed, in every phase of a training, also while it is being resumed."""

from __future__ import annotations

import random
import time
from functools import partial

import phases
from fault import Fault, drawn, line_in, moments, resumed
from workbench import Trial, Whole, Workbench

GROUP = "SIGKILL"
MOMENTS = {
    phases.STARTING: 1,
    phases.CACHE: 2,
    phases.CREATING: 1,
    phases.STEP: 3,
    phases.CHECKPOINT: 3,
    phases.SCORING: 2,
    phases.KEEPING: 2,
    phases.WRITING: 1,
    phases.PREDICTING: 1,
    phases.SUBMISSION: 1,
    phases.METRICS: 1,
    phases.CURVES: 1,
}
"""How many moments in each phase, for each adapter: 19, and one by the clock."""
AGAIN = (phases.CACHE, phases.RESUMING, phases.STEP, phases.CHECKPOINT, phases.SCORING, phases.KEEPING)
"""Where a resumed training may be killed again."""


def faults() -> list[Fault]:
    """All kills."""
    return [Fault(GROUP, phase, moments(count), partial(_in_phase, phase)) for phase, count in MOMENTS.items()] + [
        Fault(GROUP, "at any moment, by the clock", moments(1), _by_the_clock)
    ]


def _in_phase(phase: str, bench: Workbench, moment: str) -> str:
    whole, trial, draw = bench.whole(moment.split()[0]), bench.trial(moment), drawn(phase, moment)
    at = line_in(whole, phase, draw)
    killed = trial.train(at=at, happens="SIGKILL")
    assert killed.code == -9, f"not killed at {at}: {killed}"
    return _go_on(trial, whole, draw)


def _by_the_clock(bench: Workbench, moment: str) -> str:
    whole, trial, draw = bench.whole(moment.split()[0]), bench.trial(moment), drawn("clock", moment)
    running = trial.start()
    time.sleep(draw.uniform(0.1, 1.2))
    running.kill()
    return _go_on(trial, whole, draw)


def _go_on(trial: Trial, whole: Whole, draw: random.Random) -> str:
    """Continue, perhaps to be killed again at a moment that the process may or may not come to, and continue."""
    if draw.random() < 0.4:
        phase = draw.choice(AGAIN)
        if phase == phases.CACHE:
            trial.lose_cache()
        again = trial.go_on(at=(phase, draw.randint(1, whole.lines.get(phase, 40))), happens="SIGKILL")
        assert again.code in (0, -9), again.err
    return resumed(trial, whole)
