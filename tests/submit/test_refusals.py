"""What can be known before anything is sent is said before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bench import SUBMIT, Bench
from competitions import small_competition
from kaggle_server import KaggleServer
from kaggle_state import KaggleState

CLOSED = [
    pytest.param({"entered": False}, "https://www.kaggle.com/competitions/qa-cup/rules", id="rules not accepted"),
    pytest.param({"kernels_only": True}, "takes notebooks only", id="notebooks only"),
    pytest.param({"disabled": True}, "takes no submissions any more", id="closed"),
]


@pytest.mark.parametrize(("settings", "says"), CLOSED)
@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["submit", "dry run"])
def test_a_competition_that_takes_nothing(
    settings: dict[str, Any], says: str, more: tuple[str, ...], make_bench: Callable[..., Bench]
) -> None:
    with KaggleServer(KaggleState(small_competition(**settings))) as server:
        bench = make_bench(server)
        done = bench.submit(*more)
        assert done.code == 4
        assert says in done.err
        assert done.err.count("\n") == 1
        assert bench.ledger() == []
        assert server.calls("StartSubmissionUpload") == 0


def test_a_late_submission_is_said_to_be_one(make_bench: Callable[..., Bench]) -> None:
    over = datetime.now(UTC) - timedelta(days=3)
    with KaggleServer(KaggleState(small_competition(deadline=over))) as server:
        bench = make_bench(server)
        done = bench.submit()
        assert "deadline" in done.err
        assert (done.code, bench.states()) == (4, ["REJECTED"]), "this competition takes no late ones"
        assert "this competition is closed" in done.err


def test_the_day_is_used_up(make_bench: Callable[..., Bench]) -> None:
    with KaggleServer(KaggleState(small_competition(max_daily=2))) as server:
        bench = make_bench(server)
        for _ in range(2):
            server.state.add("qa-cup", "elsewhere", b"")
        done = bench.submit()
        assert (done.code, bench.ledger()) == (4, [])
        assert "2 of 2 used" in done.err
        assert "00:00 UTC" in done.err
        for submission in server.state.submissions:
            submission.date -= timedelta(days=1)
        assert bench.submit().code == 0, "the next day"


def test_an_unknown_competition(bench: Bench) -> None:
    done = bench.run("submit", "submission.csv", "-c", "qa-kup", "-m", "x", "--sample", "sample_submission.csv")
    assert (done.code, bench.ledger()) == (4, [])
    assert "'qa-kup'" in done.err
    assert "spelling" in done.err


@pytest.mark.parametrize(
    "name", ["https://www.kaggle.com/competitions/qa-cup/overview", "https://www.kaggle.com/c/qa-cup"]
)
def test_an_address_is_a_name_too(name: str, bench: Bench) -> None:
    done = bench.run("submit", "submission.csv", "-c", name, "-m", "x", "--sample", "sample_submission.csv")
    assert done.code == 0, done.err
    assert bench.ledger()[0]["competition"] == "qa-cup"


def test_a_dry_run_sends_nothing(bench: Bench) -> None:
    done = bench.submit("--dry-run")
    assert done.code == 0, done.err
    asked = {one.method for one in bench.server.seen}
    assert asked <= {"GetCompetition", "GetSubmissionLimits"}
    assert bench.ledger() == []
    assert bench.submit().code == 0
    assert bench.submit("--dry-run").code == 3, "it would be a duplicate"


def test_a_bad_file_is_refused_without_a_network(bench: Bench) -> None:
    bench.write("submission.csv", "id,answer\nq0,a\n")
    done = bench.submit()
    assert (done.code, bench.server.seen, bench.ledger()) == (2, [], [])
    assert "7 ids of the sample are missing" in done.err


def test_no_credentials(bench: Bench) -> None:
    del bench.env["KAGGLE_KEY"], bench.env["KAGGLE_USERNAME"]
    done = bench.submit()
    assert (done.code, bench.server.seen) == (4, [])
    assert "no Kaggle credentials" in done.err
    assert done.err.count("\n") == 1


def test_force_repeats_a_submission(bench: Bench) -> None:
    assert bench.submit().code == 0
    assert bench.submit("--force").code == 0
    assert len(set(bench.created())) == 2
    bench.check_ledger()


def test_the_same_file_goes_to_another_competition(make_bench: Callable[..., Bench]) -> None:
    with KaggleServer(KaggleState(small_competition(), small_competition("other-cup"))) as server:
        bench = make_bench(server)
        assert bench.submit().code == 0
        assert bench.run("submit", "submission.csv", "-c", "other-cup", *SUBMIT[4:]).code == 0
        assert len(bench.created()) == 2


@pytest.mark.slow
def test_many_rows(make_bench: Callable[..., Bench]) -> None:
    rows = 200_000
    with KaggleServer() as server:
        bench = make_bench(server)
        bench.write("sample_submission.csv", "id,answer\n" + "".join(f"q{number},\n" for number in range(rows)))
        answers = "".join(f'q{number},"the answer, number {number}"\n' for number in range(rows))
        bench.write("submission.csv", "id,answer\n" + answers)
        done = bench.submit()
        assert done.code == 0, done.err
        assert bench.ledger()[0]["rows"] == rows
        bench.write("submission.csv", "id,answer\n" + answers.replace("q177777,", "q177776,"))
        broken = bench.submit()
        assert broken.code == 2
        assert "q177777" in broken.err
        assert "q177776" in broken.err
