"""Every fault at every step of a submission: what is played, and what came of it.

``python tests/submit/fault_table.py`` prints the outcomes; ``test_faults.py`` checks them.
"""

from __future__ import annotations

from dataclasses import dataclass

import faults
from bench import Bench
from faults import Fault

STEPS = ("GetCompetition", "GetSubmissionLimits", "StartSubmissionUpload", "PUT", "CreateSubmission", "GetSubmission")
LOOK_UP = "ListSubmissions"
"""Only called when the answer to CreateSubmission was lost; so it is, in these cases."""


@dataclass(frozen=True)
class Case:
    """One fault at one step, once or for as long as the first command lasts."""

    method: str
    fault: Fault
    always: bool

    def __str__(self) -> str:
        return f"{self.method}: {self.fault.name}, {'always' if self.always else 'once'}"


@dataclass(frozen=True)
class Outcome:
    """What the first command and the next one did."""

    code: int
    state: str
    """Last state in the ledger after the first command; ``-``: it holds nothing."""
    submissions: int
    tried: int
    """How often the first command called the method."""
    said: str
    next_code: int
    next_state: str
    next_submissions: int


def cases() -> list[Case]:
    """All of them, in the order of the steps."""
    found = []
    for method in (*STEPS, LOOK_UP):
        for fault in (*faults.ALL, *faults.NONSENSE.get(method, ())):
            final = method != "PUT" and fault in faults.REFUSALS  # playing it again changes nothing
            often = (False,) if final else (False, True)
            found += [Case(method, fault, always) for always in often]
            if method == "CreateSubmission":
                found += [Case(method, fault.after(), always) for always in often]
    return found


def play(case: Case, bench: Bench) -> Outcome:
    """Submit while the fault is played, then again without it."""
    server = bench.server
    if case.fault.kind == "hang":
        bench.env["QAKIT_KAGGLE_TIMEOUT"] = "0.25"
    if case.method == LOOK_UP:
        server.inject("CreateSubmission", faults.DROPPED.after())
    server.inject(case.method, case.fault, times=None if case.always else 1)
    first = bench.submit("--timeout", 10)
    state, made, tried = (bench.states() or ["-"])[-1], len(server.state.submissions), server.calls(case.method)
    server.heal()
    again = bench.submit()
    return Outcome(
        first.code,
        state,
        made,
        tried,
        first.err,
        again.code,
        (bench.states() or ["-"])[-1],
        len(server.state.submissions),
    )
