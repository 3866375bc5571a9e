"""The power goes at some moment; then the machine is started again."""

from __future__ import annotations

from functools import partial

import phases
from fault import Fault, drawn, line_in, moments, resumed
from workbench import PRETRAINING, Workbench, differences

GROUP = "power cut"
MOMENTS = {
    phases.CACHE: moments(2, "full"),
    phases.CREATING: moments(4, "full"),
    phases.STEP: moments(2),
    phases.CHECKPOINT: moments(3),
    phases.KEEPING: moments(2),
    phases.WRITING: moments(4, "full"),
    phases.SUBMISSION: moments(2, "full"),
    phases.METRICS: moments(2, "full"),
    phases.CURVES: moments(2, "full"),
    phases.PRETRAINED: moments(8, PRETRAINING),
}


def faults() -> list[Fault]:
    """All of them."""
    return [Fault(GROUP, phase, tried, partial(_in_phase, phase)) for phase, tried in MOMENTS.items()] + [
        Fault(GROUP, phases.ENDED, moments(3, "full", PRETRAINING), _afterwards)
    ]


def _in_phase(phase: str, bench: Workbench, moment: str) -> str:
    whole, trial, draw = bench.whole(moment.split()[0]), bench.trial(moment), drawn(f"power, {phase}", moment)
    at = line_in(whole, phase, draw)
    cut = trial.train(at=at, happens=f"power cut {draw.random()}")
    assert cut.code == -9, f"not cut at {at}: {cut}"
    return resumed(trial.after_cut(), whole)


def _afterwards(bench: Workbench, moment: str) -> str:
    whole, trial = bench.whole(moment.split()[0]), bench.trial(moment)
    cut = trial.train(at=(phases.ENDED, 0), happens=f"power cut {moment}")
    assert cut.code == -9, cut
    lost = [name for name in differences(trial.after_cut().run, whole.run) if (whole.run / name).is_file()]
    assert not lost, lost
    return f"nothing is lost; with --resume {resumed(trial, whole).removeprefix('continues, ')}"
