"""A process killed at any moment loses nothing and submits nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faults
import pytest
from bench import SUBMIT, Bench
from faults import Fault
from kaggle_server import KaggleServer

import qakit

IN_A_REQUEST = [
    ("GetCompetition", faults.HANG, []),
    ("GetSubmissionLimits", faults.HANG, []),
    ("StartSubmissionUpload", faults.HANG, ["INTENT"]),
    ("PUT", faults.HANG, ["INTENT"]),
    ("PUT", faults.HANG.after(), ["INTENT"]),
    ("CreateSubmission", faults.HANG, ["CREATING"]),
    ("CreateSubmission", faults.HANG.after(), ["CREATING"]),
    ("GetSubmission", faults.HANG, ["CREATED"]),
]


def finish(bench: Bench) -> None:
    """The next start brings the submission to its end, and there is one."""
    done = bench.submit()
    assert done.code in (0, 3), done.text
    assert len(bench.created()) == 1
    assert bench.states() == ["COMPLETE"]
    bench.check_ledger()
    hidden = {path.name for path in (bench.folder / "submissions").iterdir() if path.name.startswith(".")}
    assert hidden <= {".lock"}, "nothing half-written is left"


@pytest.mark.parametrize(
    ("method", "fault", "states"), IN_A_REQUEST, ids=[f"{method}, {fault.name}" for method, fault, _ in IN_A_REQUEST]
)
def test_killed_in_a_request(method: str, fault: Fault, states: list[str], bench: Bench) -> None:
    bench.server.inject(method, fault)
    running = bench.start(*SUBMIT)
    assert bench.server.blocked.wait(30)
    assert running.kill().code == -9
    assert bench.states() == states
    bench.server.heal()
    finish(bench)


def test_killed_while_looking_up_what_became_of_it(bench: Bench) -> None:
    bench.server.inject("CreateSubmission", faults.DROPPED.after())
    bench.server.inject("ListSubmissions", faults.HANG)
    running = bench.start(*SUBMIT)
    assert bench.server.blocked.wait(30)
    assert running.kill().code == -9
    bench.server.heal()
    finish(bench)


def sweep(make_bench: Callable[..., Bench], points: Iterator[dict[str, Any]], *prepare: tuple[str, Fault]) -> int:
    """Kill a process at each point in turn and finish what it began; returns how many were killed."""
    for killed, point in enumerate(points):
        with KaggleServer() as server:
            for method, fault in prepare:
                server.inject(method, fault)
            bench = make_bench(server)
            done = bench.submit(**point)
            if done.code == 0:
                return killed
            assert done.code == -9, done.text
            server.heal()
            finish(bench)
    raise AssertionError("unreachable")


def numbers(step: int) -> Iterator[int]:
    """1, 1 + step ...; a prime step meets no rhythm of the code."""
    return iter(range(1, 1_000_000, step))


@pytest.mark.sweep(2)
@pytest.mark.slow
@pytest.mark.parametrize("torn", [False, True], ids=["whole line", "half a line"])
def test_killed_after_every_write_to_the_disk(torn: bool, make_bench: Callable[..., Bench]) -> None:
    killed = sweep(make_bench, ({"fsync": number, "torn": torn} for number in numbers(1)))
    assert killed >= 5, "at least one for each state, and one for the copy of the file"


@pytest.mark.sweep(2)
@pytest.mark.slow
@pytest.mark.parametrize(
    "lost", [pytest.param(faults.DROPPED, id="not submitted"), pytest.param(faults.DROPPED.after(), id="submitted")]
)
def test_killed_after_every_write_when_an_answer_was_lost(lost: Fault, make_bench: Callable[..., Bench]) -> None:
    points = ({"fsync": number, "torn": False} for number in numbers(1))
    assert sweep(make_bench, points, ("CreateSubmission", lost)) >= 6


@pytest.mark.sweep(2)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "step"),
    [((), 61), ((("CreateSubmission", faults.DROPPED),), 127)],
    ids=["all is well", "an answer is lost"],
)
def test_killed_all_over_the_code(
    prepare: tuple[tuple[str, Fault], ...], step: int, make_bench: Callable[..., Bench]
) -> None:
    folder = str(Path(qakit.__file__).parent / "submit")
    killed = sweep(make_bench, ({"line": number, "folder": folder} for number in numbers(step)), *prepare)
    assert killed >= 10


def test_a_kill_in_the_second_start_too(bench: Bench) -> None:
    for method in ("CreateSubmission", "ListSubmissions", "GetSubmission"):
        bench.server.inject(method, faults.HANG.after())
        running = bench.start(*SUBMIT)
        assert bench.server.blocked.wait(30)
        running.kill()
        bench.server.heal()
    finish(bench)
