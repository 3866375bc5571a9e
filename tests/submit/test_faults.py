"""Whatever goes wrong, wherever: one line says it, the exit code tells what it means, and one submission is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import fault_cases
import faults
import pytest
from bench import ANSWERS, SUBMIT, Bench
from competitions import Fate, small_competition
from fault_cases import LOOK_UP, Case, Outcome, play
from fault_table import figures, place, written
from faults import Fault
from kaggle_server import KaggleServer
from kaggle_state import KaggleState

CREATING = [case for case in fault_cases.cases() if case.method == "CreateSubmission"]
OTHERS = [case for case in fault_cases.cases() if case.method != "CreateSubmission"]


def check(case: Case, outcome: Outcome, bench: Bench) -> None:
    """What holds in every case."""
    assert outcome.next_submissions == 1, "in the end there is one submission, never two"
    assert outcome.next_code in (0, 3)
    assert outcome.next_state == "COMPLETE"
    assert outcome.submissions <= 1
    bench.check_ledger()
    told = outcome.said.splitlines()
    assert all(line.startswith(("error: ", "warning: ")) for line in told), outcome.said
    assert sum(line.startswith("error: ") for line in told) == (outcome.code != 0), outcome.said
    # The exit code, the ledger and Kaggle tell the same story.
    assert outcome.code in (0, 4, 5)
    if outcome.code == 0:
        assert (outcome.state, outcome.submissions) in {("COMPLETE", 1), ("CREATED", 1)}
        assert outcome.next_code == 3, "the next command finds the submission in the ledger"
    if outcome.code == 4:
        assert outcome.state in ("-", "INTENT", "REJECTED")
        assert outcome.submissions == case.fault.acts, "unless Kaggle says no and does it all the same"
    if outcome.code == 5:
        assert outcome.state in ("CREATING", "UNKNOWN")
    if outcome.code != 0:
        assert outcome.next_code == 0, "the next command submits the file, or finds it at Kaggle"
    request, played = place(case)
    assert written()[request, case.fault.name, played] == figures(outcome), (
        "the table in docs/dev/submitting.md tells this"
    )


def test_the_table_in_the_docs_is_complete() -> None:
    expected = {(place(case)[0], case.fault.name, place(case)[1]) for case in fault_cases.cases()}
    assert written().keys() == expected


@pytest.mark.sweep(3)
@pytest.mark.parametrize("case", CREATING, ids=str)
def test_create_is_asked_once_and_then_looked_up(case: Case, bench: Bench) -> None:
    outcome = play(case, bench)
    check(case, outcome, bench)
    if case.fault in (*faults.REFUSALS, *(fault.after() for fault in faults.REFUSALS)):
        assert (outcome.code, outcome.state, outcome.tried) == (4, "REJECTED", 1), "a refusal is final"
    elif case.fault.acts:
        assert (outcome.code, outcome.state, outcome.tried) == (0, "COMPLETE", 1), "it is found by its tag"
    elif case.always:
        assert (outcome.code, outcome.state) == (4, "INTENT"), "nothing came of it, and that is certain"
    else:
        assert (outcome.code, outcome.state, outcome.tried) == (0, "COMPLETE", 2), "not there: sent again"


@pytest.mark.sweep(4)
@pytest.mark.slow
@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_the_other_steps_try_again_or_say_what_is_wrong(case: Case, bench: Bench) -> None:
    outcome = play(case, bench)
    check(case, outcome, bench)
    refused = case.fault in faults.REFUSALS and not (case.method == "PUT" and case.fault.status == 200)
    if case.fault in (*faults.BUSY, *faults.BROKEN) and case.fault is not faults.NOT_OBJECT and case.method != "PUT":
        assert (outcome.tried > 2) == case.always, "readings are tried again"
        if not case.always:
            assert (outcome.code, outcome.state) == (0, "COMPLETE")
    if refused and case.method != "PUT":
        assert outcome.tried == 1, "a refusal does not become better by asking again"
    if case.method == "GetSubmission":
        assert outcome.code == 0, "it is submitted, whether or not the score can be seen"


# --------------------------------------------------------------------------------------------------- two things at once
LOST = faults.DROPPED
NEVER_ARRIVED = pytest.param(LOST, id="not submitted")
ARRIVED = pytest.param(LOST.after(), id="submitted")


@pytest.mark.parametrize("lost", [ARRIVED, NEVER_ARRIVED])
def test_not_known_until_kaggle_can_be_asked_again(lost: Fault, bench: Bench) -> None:
    bench.server.inject("CreateSubmission", lost)
    bench.server.inject(LOOK_UP, faults.UNAVAILABLE, times=None)
    first = bench.submit()
    assert (first.code, bench.states()) == (5, ["CREATING"])
    assert "run the same command again" in first.err
    assert bench.submit().code == 5, "still not known"
    assert bench.server.calls("CreateSubmission") == 1, "nothing is sent while it is not known"
    bench.server.heal()
    assert bench.submit().code == 0
    assert len(bench.created()) == 1
    bench.check_ledger()


def test_a_team_mates_submission_makes_it_unknown(bench: Bench) -> None:
    server = bench.server
    server.inject("CreateSubmission", LOST)
    server.inject(LOOK_UP, faults.UNAVAILABLE, times=None)
    assert bench.submit().code == 5
    server.heal()
    server.state.add("qa-cup", "from a team mate", b"id,answer\n")
    second = bench.submit()
    assert (second.code, bench.states()) == (5, ["UNKNOWN"])
    assert "--force" in second.err
    assert bench.submit().code == 5, "it stays unknown"
    assert server.calls("CreateSubmission") == 1
    assert bench.submit("--force").code == 0, "the user has looked and decides"
    assert len(bench.created()) == 2
    assert bench.submit().code == 3


def test_a_list_that_lags_behind_does_not_lead_to_a_second_submission(bench: Bench) -> None:
    server = bench.server
    server.state.lag = 10_000
    server.inject("CreateSubmission", LOST.after())
    first = bench.submit()
    assert (first.code, bench.states()) == (5, ["UNKNOWN"]), "the count rose though the list does not show it"
    for submission in server.state.submissions:
        submission.hidden = 0
    assert bench.submit().code == 0
    assert len(bench.created()) == 1
    bench.check_ledger()


def test_a_list_that_lags_a_little_is_waited_for(bench: Bench) -> None:
    bench.server.state.lag = 2
    bench.server.inject("CreateSubmission", LOST.after())
    assert bench.submit().code == 0
    assert bench.server.calls(LOOK_UP) == 3
    bench.check_ledger()


def test_a_request_that_is_carried_out_late_is_found_before_another_is_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, uploads = bench.server.state, 0
    call = state.call

    def late(method: str, request: dict[str, Any], *, storage: str) -> dict[str, Any]:
        nonlocal uploads
        uploads += method == "StartSubmissionUpload"
        if method == "StartSubmissionUpload" and uploads == 2:
            state.add("qa-cup", f"first try [qk:{bench.ledger()[-1]['submit_id']}]", ANSWERS.encode())
        return call(method, request, storage=storage)

    monkeypatch.setattr(state, "call", late)
    bench.server.inject("CreateSubmission", LOST)
    done = bench.submit()
    assert (done.code, bench.states()) == (0, ["COMPLETE"])
    assert "an earlier request was carried out late" in done.err
    assert (uploads, bench.server.calls("CreateSubmission"), len(bench.created())) == (2, 1, 1)
    bench.check_ledger()


def test_without_the_count_nothing_is_sent_twice(bench: Bench) -> None:
    bench.server.inject("GetSubmissionLimits", faults.BAD_REQUEST, times=None)
    bench.server.inject("CreateSubmission", LOST)
    assert bench.submit().code == 5
    assert bench.states() == ["UNKNOWN"]
    assert bench.server.calls("CreateSubmission") == 1


@pytest.mark.parametrize("more", [0, 1], ids=["alone", "and a team mate submitted"])
def test_the_day_changes_between_a_lost_answer_and_the_next_start(more: int, bench: Bench) -> None:
    server = bench.server
    for number in range(2):
        server.state.add("qa-cup", f"earlier {number}", b"")
    server.inject("CreateSubmission", LOST)
    server.inject(LOOK_UP, faults.UNAVAILABLE, times=None)
    assert bench.submit().code == 5
    server.heal()
    for submission in server.state.submissions:
        submission.date -= timedelta(days=1)
    ledger = bench.folder / "submissions" / "ledger.jsonl"
    today = bench.ledger()[-1]["count"]["day"]
    ledger.write_text(ledger.read_text("utf-8").replace(f'"day": "{today}"', '"day": "2026-01-01"'), "utf-8")
    for _ in range(more):
        server.state.add("qa-cup", "from a team mate", b"")
    assert bench.submit().code == (5 if more else 0)
    assert len(bench.created()) == 3


def test_the_tag_is_found_on_a_later_page(make_bench: Callable[..., Bench]) -> None:
    state = KaggleState(small_competition(max_daily=100), page_limit=3)
    with KaggleServer(state) as server:
        bench = make_bench(server)
        server.inject("CreateSubmission", LOST.after())
        server.inject(LOOK_UP, faults.UNAVAILABLE, times=None)
        assert bench.submit().code == 5
        server.heal()
        for number in range(10):
            state.add("qa-cup", f"later {number}", b"")
        assert bench.submit().code == 0
        assert sum("first try" in description for description in bench.created()) == 1


# ------------------------------------------------------------------------------------------------------ slow and wrong
def test_a_day_is_not_waited_for(bench: Bench) -> None:
    bench.server.inject("GetCompetition", faults.TOO_MANY_TODAY, times=None)
    done = bench.submit()
    assert (done.code, bench.server.calls("GetCompetition")) == (4, 1)
    assert "24 h" in done.err


def test_a_date_to_come_back_at_is_understood(bench: Bench) -> None:
    bench.server.inject("GetCompetition", faults.TOO_MANY_DATE)
    assert bench.submit().code == 0
    assert bench.server.calls("GetCompetition") == 2


def test_a_scoring_error_has_its_own_code(bench: Bench) -> None:
    bench.server.state.fates.append(Fate(pending=2, status="ERROR", error="Evaluation Exception:\nrow 3 is odd"))
    done = bench.submit()
    assert (done.code, bench.states()) == (6, ["ERROR"])
    assert done.err.count("\n") == 1
    assert "Evaluation Exception: row 3 is odd" in done.err
    again = bench.submit()
    assert again.code == 3, "the same file would fail in the same way"
    assert "row 3 is odd" in again.err


def test_long_scoring_is_left_alone_and_found_later(bench: Bench) -> None:
    bench.server.state.fates.append(Fate(pending=10_000))
    done = bench.submit("--timeout", 0.1)
    assert (done.code, bench.states()) == (0, ["CREATED"])
    assert "not scored yet" in done.out
    bench.server.state.submissions[0].fate.pending = 0
    synced = bench.run("kaggle", "submissions", "--sync", "-c", "qa-cup")
    assert synced.code == 0
    assert bench.states() == ["COMPLETE"]


def test_no_wait_asks_for_no_score(bench: Bench) -> None:
    bench.server.state.fates.append(Fate(pending=3))
    done = bench.submit("--no-wait")
    assert (done.code, bench.states()) == (0, ["CREATED"])
    assert bench.server.calls("GetSubmission") <= 1


def test_a_list_with_a_status_of_tomorrow_is_no_reason_to_send_again(bench: Bench) -> None:
    """The client cannot read a page with a status that it does not know: then it is not known what became of it."""
    bench.server.state.add("qa-cup", "odd", b"").fate = Fate(status="FROZEN")
    bench.server.inject("CreateSubmission", LOST.after())
    done = bench.submit()
    assert (done.code, bench.states()) == (5, ["CREATING"])
    assert "FROZEN" in done.err
    bench.server.state.submissions[0].fate.status = "COMPLETE"
    assert bench.submit().code == 0
    assert len(bench.created()) == 2


def test_nobody_listens(bench: Bench) -> None:
    bench.env["QAKIT_KAGGLE_ENDPOINT"] = "http://127.0.0.1:9"
    done = bench.submit()
    assert (done.code, bench.ledger()) == (4, [])
    assert "cannot connect to http://127.0.0.1:9" in done.err.splitlines()[-1]


def test_another_file_is_submitted_while_one_is_unknown(bench: Bench) -> None:
    bench.server.inject("CreateSubmission", LOST.after())
    bench.server.inject(LOOK_UP, faults.UNAVAILABLE, times=None)
    assert bench.submit().code == 5
    bench.server.heal()
    bench.write("other.csv", ANSWERS.replace("answer 3", "answer 7"))
    done = bench.run("submit", "other.csv", *SUBMIT[2:])
    assert done.code == 0
    assert "was submitted after all" in done.err
    assert bench.states() == ["CREATED", "COMPLETE"]
    bench.check_ledger()
