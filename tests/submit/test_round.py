"""What a user does on a competition's day, with commands alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bench import ANSWERS, Bench
from competitions import Fate, small_competition
from kaggle_server import KaggleServer
from kaggle_state import KaggleState
from whole_round import CODES, COMMANDS, RECIPE, Step, play, question_cup, transcript

pytestmark = pytest.mark.usefixtures("forked_python")


@pytest.fixture(scope="module")
def played(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Step], KaggleState, Path, str]:
    """The whole round with a tiny model."""
    folder = tmp_path_factory.mktemp("round") / "desk"
    folder.mkdir()
    (folder / "cup.yaml").write_text(RECIPE.format(source=tiny_backbone, epochs=1), "utf-8")
    state = KaggleState(question_cup(paragraphs=1))
    state.fates.append(Fate(pending=3))
    with KaggleServer(state) as server:
        return play(folder, server), state, folder, server.url


@pytest.mark.slow
def test_from_the_data_to_the_leaderboard(played: tuple[list[Step], KaggleState, Path, str]) -> None:
    steps, state, folder, url = played
    said = "\n".join(step.out + step.err for step in steps)
    assert [step.code for step in steps] == CODES, said
    assert "Traceback" not in said
    (submission,) = state.submissions
    with (folder / "runs" / "cup" / "predictions" / "submission.csv").open(encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == list(state.competitions["qa-cup"].solution)
    assert submission.content == (folder / "runs" / "cup" / "predictions" / "submission.csv").read_bytes()
    assert submission.description.startswith("cup: ")
    assert str(submission.ref) in steps[4].out
    assert str(submission.ref) in steps[5].err
    assert "Testers" in steps[7].out
    text = transcript(steps, folder, url)
    assert text.count("$ qakit ") == len(COMMANDS)
    assert "[exit code 3]" in text
    assert url not in text
    assert str(folder) not in text


@pytest.mark.slow
def test_the_ledger_remembers_the_run(played: tuple[list[Step], KaggleState, Path, str]) -> None:
    _, state, folder, _ = played
    lines = [json.loads(line) for line in (folder / "submissions" / "ledger.jsonl").read_text("utf-8").splitlines()]
    last = lines[-1]
    assert [line["state"] for line in lines] == ["INTENT", "CREATING", "CREATED", "COMPLETE"]
    assert (last["run_id"], last["ref"]) == ("cup", state.submissions[0].ref)
    assert last["cv_mean"] is not None
    assert last["public"] is not None
    assert {"qakit", "kaggle", "python"} <= last["versions"].keys()
    kept = folder / "submissions" / last["folder"]
    assert {"submission.csv", "recipe.yaml"} <= {path.name for path in kept.iterdir()}


def test_a_day_of_submissions(make_bench: Callable[..., Bench]) -> None:
    """Submit, improve, submit; a team mate joins in; the list and the board show it all."""
    with KaggleServer(KaggleState(small_competition(max_daily=3))) as server:
        bench = make_bench(server)
        assert "public 1" in bench.submit().out
        bench.write("submission.csv", ANSWERS.replace("answer 3", "answer 7"))
        server.state.fates.append(Fate(pending=2))
        assert "public 0.75" in bench.submit().out
        server.state.add("qa-cup", "by hand", ANSWERS.encode())
        bench.write("submission.csv", ANSWERS.replace("answer 2", "answer 9"))
        assert bench.submit().code == 4, "the day is used up"
        shown = bench.run("kaggle", "submissions", "--sync", "-c", "qa-cup")
        assert shown.code == 0
        assert [str(one.ref) in shown.out for one in server.state.submissions] == [True, True, True]
        assert "by hand" in shown.out
        document = json.loads(bench.run("kaggle", "submissions", "--json").out)
        assert [row["public"] for row in document["submissions"]] == [1.0, 0.75]
        board = bench.run("kaggle", "leaderboard", "-c", "qa-cup", "--json")
        teams = [(row["rank"], row["team"], row["own"]) for row in json.loads(board.out)["leaderboard"]]
        assert teams == [(1, "Testers", True), (2, "Ada", False), (3, "Grace", False)]


def test_private_scores_appear_after_the_deadline(bench: Bench) -> None:
    assert bench.submit().code == 0
    assert bench.ledger()[-1]["private"] is None
    competition = bench.server.state.competitions["qa-cup"]
    competition.deadline = bench.server.state.submissions[0].date
    assert bench.run("kaggle", "submissions", "--sync").code == 0
    assert bench.ledger()[-1]["private"] == 0.0


def test_a_competition_that_is_gone_keeps_no_other_from_its_scores(make_bench: Callable[..., Bench]) -> None:
    with KaggleServer(KaggleState(small_competition("old-cup"), small_competition())) as server:
        bench = make_bench(server)
        server.state.fates += [Fate(pending=1), Fate(pending=1)]
        old = bench.run("submit", "submission.csv", "-c", "old-cup", "--sample", "sample_submission.csv", "--no-wait")
        assert (old.code, bench.submit("--no-wait").code) == (0, 0)
        for submission in server.state.submissions:
            submission.fate.pending = 0
        del server.state.competitions["old-cup"]
        done = bench.run("kaggle", "submissions", "--sync")
        assert done.code == 4
        assert bench.states() == ["CREATED", "COMPLETE"]
        assert [str(one.ref) in done.out for one in server.state.submissions] == [True, True]
        assert done.err.splitlines()[-1].startswith("error: old-cup is not brought up to date: ")
        as_json = bench.run("kaggle", "submissions", "--sync", "--json")
        assert as_json.code == 4
        assert [row["state"] for row in json.loads(as_json.out)["submissions"]] == ["CREATED", "COMPLETE"]


def test_a_long_leaderboard_is_read_to_its_end(make_bench: Callable[..., Bench]) -> None:
    teams = [(f"Team {number:03}", f"{1 - number / 200:.3f}") for number in range(45)]
    with KaggleServer(KaggleState(small_competition(teams=teams), page_limit=20)) as server:
        bench = make_bench(server)
        rows = json.loads(bench.run("kaggle", "leaderboard", "-c", "qa-cup", "--json").out)["leaderboard"]
        assert [row["rank"] for row in rows] == list(range(1, 46))
        assert server.calls("GetLeaderboard") == 3
