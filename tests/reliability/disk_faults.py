"""A disk that is full or read-only from some moment on."""

from __future__ import annotations

from functools import partial

import phases
from fault import IDENTICAL, Fault, drawn, line_in, moments, resumed, told
from workbench import Workbench, differences

FULL, CLOSED = "disk full", "read-only"


def faults() -> list[Fault]:
    """All of them."""
    found = []
    for what, group in ((FULL, "disk full (no file grows)"), (CLOSED, "read-only file system")):
        for phase, tried in (
            (phases.CREATING, moments(1, "full")),
            (phases.STEP, moments(1, "full", "lora")),
            (phases.CHECKPOINT, moments(2, "full", "bitfit")),
            (phases.KEEPING, moments(2, "full", "lora")),
            (phases.WRITING, moments(1, "full")),
            (phases.SUBMISSION, moments(1, "full")),
            (phases.METRICS, moments(1, "full")),
        ):
            found.append(Fault(group, phase, tried, partial(_from_then_on, what, phase)))
    found.append(Fault("read-only file system", "the token cache only", moments(1, "full"), _cache_only))
    return found


def _from_then_on(what: str, phase: str, bench: Workbench, moment: str) -> str:
    whole, trial, draw = bench.whole(moment.split()[0]), bench.trial(moment), drawn(f"{what}, {phase}", moment)
    at = line_in(whole, phase, draw)
    ended = trial.train(at=at, happens=what)
    assert ended.code == 2, f"{at}: {ended}"
    return f"{told(ended)}; with room again: {resumed(trial, whole)}"


def _cache_only(bench: Workbench, moment: str) -> str:
    whole, trial = bench.whole(moment.split()[0]), bench.trial(moment)
    ended = trial.train(closed=str(trial.folder / "cache"))
    assert ended.code == 0, ended.err
    assert "tokens stay in memory" in ended.err, ended.err
    assert not differences(trial.run, whole.run)
    return "says so, keeps the tokens in memory; " + IDENTICAL.removeprefix("continues, ")
