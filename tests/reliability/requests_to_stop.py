"""SIGTERM and Ctrl-C, which a training may answer."""

from __future__ import annotations

import signal
from functools import partial

import phases
from fault import Fault, drawn, line_in, moments, resumed, told
from workbench import Workbench

GROUPS = {"SIGTERM": "SIGTERM", "SIGINT": "Ctrl-C"}
CODES = {"SIGTERM": 128 + signal.SIGTERM, "SIGINT": 128 + signal.SIGINT}


def faults() -> list[Fault]:
    """All of them."""
    found = []
    for name in ("SIGTERM", "SIGINT"):
        for phase, tried in (
            (phases.CACHE, moments(1, "full")),
            (phases.STEP, moments(1)),
            (phases.CHECKPOINT, moments(1, "lora")),
            (phases.SCORING, moments(1, "full", "bitfit")),
            (phases.PREDICTING, moments(1, "full", "lora")),
            (phases.SUBMISSION, moments(1, "bitfit")),
        ):
            found.append(Fault(GROUPS[name], phase, tried, partial(_once, name, phase)))
        found.append(
            Fault(
                f"{GROUPS[name]} twice",
                phases.SCORING,
                moments(1, "full"),
                partial(_once, f"{name} twice", phases.SCORING),
            )
        )
    return found


def _once(name: str, phase: str, bench: Workbench, moment: str) -> str:
    whole, trial, draw = bench.whole(moment.split()[0]), bench.trial(moment), drawn(f"{name}, {phase}", moment)
    until = 0.8 if phase == phases.STEP else 0.6 if phase == phases.SCORING else 1.0  # before the last of them
    ended = trial.train(at=line_in(whole, phase, draw, until=until), happens=name)
    assert ended.code == CODES[name.split()[0]], ended
    said = told(ended)
    assert ("--resume --output run" in said) == trial.started, said
    return f"{said}; {resumed(trial, whole)}"
