"""Several processes at once: one ledger, nothing twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable

import faults
import pytest
from bench import ANSWERS, SUBMIT, Bench
from competitions import Fate, small_competition
from faults import Fault
from kaggle_server import KaggleServer
from kaggle_state import KaggleState

LOST = [
    pytest.param(None, id="all is well"),
    pytest.param(faults.DROPPED, id="an answer is lost"),
    pytest.param(faults.DROPPED.after(), id="an answer is lost after acting"),
]


@pytest.mark.parametrize("fault", LOST)
def test_four_processes_with_one_file_submit_it_once(fault: Fault | None, bench: Bench) -> None:
    if fault is not None:
        bench.server.inject("CreateSubmission", fault)
    running = [bench.start(*SUBMIT) for _ in range(4)]
    done = [one.wait() for one in running]
    assert sorted(one.code for one in done) == [0, 3, 3, 3], "\n".join(one.err for one in done)
    assert len(bench.created()) == 1
    bench.check_ledger()


def test_four_processes_with_four_files_submit_them_all(bench: Bench) -> None:
    for number in range(4):
        bench.write(f"file{number}.csv", ANSWERS.replace("q0,answer 0", f"q0,try {number}"))
    running = [bench.start("submit", f"file{number}.csv", *SUBMIT[2:]) for number in range(4)]
    done = [one.wait() for one in running]
    assert [one.code for one in done] == [0, 0, 0, 0], [one.err for one in done]
    assert len(set(bench.created())) == 4
    assert bench.states() == ["COMPLETE"] * 4
    bench.check_ledger()


def test_more_files_than_the_day_allows(make_bench: Callable[..., Bench]) -> None:
    with KaggleServer(KaggleState(small_competition(max_daily=2))) as server:
        bench = make_bench(server)
        for number in range(4):
            bench.write(f"file{number}.csv", ANSWERS.replace("q0,answer 0", f"q0,try {number}"))
        running = [bench.start("submit", f"file{number}.csv", *SUBMIT[2:]) for number in range(4)]
        done = [one.wait() for one in running]
        assert sorted(one.code for one in done) == [0, 0, 4, 4]
        assert len(bench.created()) == 2
        bench.check_ledger()


def test_waiting_for_a_score_does_not_keep_others_from_submitting(bench: Bench) -> None:
    bench.server.state.fates.append(Fate(pending=1_000_000))
    bench.write("other.csv", ANSWERS.replace("answer 0", "answer 9"))
    first = bench.start(*SUBMIT)
    while not bench.server.calls("GetSubmission"):
        pass
    assert bench.run("submit", "other.csv", *SUBMIT[2:]).code == 0
    bench.server.state.submissions[0].fate.pending = 0
    assert first.wait().code == 0
    assert bench.states() == ["COMPLETE", "COMPLETE"]


def test_reading_the_ledger_while_others_write(bench: Bench) -> None:
    for number in range(4):
        bench.write(f"file{number}.csv", ANSWERS.replace("q0,answer 0", f"q0,try {number}"))
    writers = [bench.start("submit", f"file{number}.csv", *SUBMIT[2:]) for number in range(4)]
    readers = [bench.start("kaggle", "submissions", "--sync", "-c", "qa-cup") for _ in range(3)]
    ended = [one.wait() for one in (*writers, *readers)]
    assert {one.code for one in ended} == {0}, [one.err for one in ended if one.code]
    assert bench.states() == ["COMPLETE"] * 4
    bench.check_ledger()
