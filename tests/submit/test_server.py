"""The stand-in speaks Kaggle's language: the real client, unchanged, talks to it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from competitions import Fate, small_competition
from environments import isolated
from kaggle_http import TOKEN
from kaggle_server import KaggleServer
from kaggle_state import KaggleState

# What a user of the client does, in one process because importing it takes a second.
ROUND = r"""
import json, sys
from pathlib import Path
import kaggle
api, folder, seen = kaggle.api, Path(sys.argv[1]), {}

def one(submission):
    return {name: str(getattr(submission, name)) for name in
            ("ref", "status", "description", "public_score", "private_score", "error_description", "date", "file_name")}

answer = api.competition_submit(str(folder / "submission.csv"), "a message", "qa-cup", quiet=True)
seen["submit"] = {"ref": answer.ref, "message": answer.message}
with api.build_kaggle_client() as client:
    from kagglesdk.competitions.types.competition_api_service import (
        ApiGetCompetitionRequest, ApiGetSubmissionRequest, ApiListSubmissionsRequest)
    rpc = client.competitions.competition_api_client
    request = ApiGetSubmissionRequest()
    request.ref = answer.ref
    seen["get"] = [one(rpc.get_submission(request)) for _ in range(2)]
    request = ApiGetCompetitionRequest()
    request.competition_name = "qa-cup"
    competition = rpc.get_competition(request)
    seen["competition"] = [competition.max_daily_submissions, competition.user_has_entered,
                           competition.is_kernels_submissions_only, competition.submissions_disabled,
                           competition.evaluation_metric, competition.deadline.isoformat()]
    pages, request = [], ApiListSubmissionsRequest()
    request.competition_name, request.page_size = "qa-cup", 2
    while True:
        page = rpc.list_submissions(request)
        pages.append([submission.ref for submission in page.submissions])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    seen["pages"] = pages
seen["list"] = [one(submission) for submission in api.competition_submissions("qa-cup")]
limits = api.competition_get_submission_limits("qa-cup")
seen["limits"] = [limits.num_today, limits.num_total, limits.num_allowed_now, limits.limited_by_total]
seen["leaderboard"] = [[row.team_name, row.score] for row in api.competition_leaderboard_view("qa-cup")]
seen["files"] = [[file.name, file.total_bytes] for file in api.competition_list_files("qa-cup").files]
api.competition_download_file("qa-cup", "test.csv", path=str(folder), quiet=True)
api.competition_download_files("qa-cup", path=str(folder), quiet=True)
code = api.competition_submit_code("submission.csv", "a message", "code-cup", "tester/notebook", 3, quiet=True)
seen["code"] = {"ref": code.ref, "message": code.message}
errors = []
for attempt in (
    lambda: api.competition_submit(str(folder / "submission.csv"), "", "no-such-cup", quiet=True),
    lambda: api.competition_submit(str(folder / "submission.csv"), "", "code-cup", quiet=True),
):
    try:
        attempt()
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
seen["errors"] = errors
Path(sys.argv[2]).write_text(json.dumps(seen))
"""


def client(server: KaggleServer, home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The unmodified client: plain HTTP goes to the stand-in as its proxy, HTTPS nowhere."""
    proxied = {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "http_proxy": server.url}
    return subprocess.run(
        [sys.executable, *arguments],
        env=isolated(home, **proxied, **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], KaggleState, Path]:
    """A whole conversation: what the client saw, what the stand-in holds, the folder."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "submission.csv").write_text("id,answer\nq0,answer 0\nq1,wrong\nq5,answer 5\n", "utf-8")
    state = KaggleState(small_competition(), small_competition("code-cup", kernels_only=True))
    state.add("qa-cup", "earlier", b"id,answer\nq0,answer 0\nq1,answer 1\n")
    state.add("qa-cup", "broken", b"nonsense").fate = Fate(status="ERROR", error="Wrong column names")
    state.fates.append(Fate(pending=1))
    with KaggleServer(state) as server:
        done = client(server, folder / "home", "-c", ROUND, str(folder), str(folder / "seen.json"))
        assert done.returncode == 0, done.stderr
        return json.loads((folder / "seen.json").read_text()), state, folder


def test_submit_uploads_the_file_and_creates_one_submission(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    seen, state, folder = talk
    assert seen["submit"] == {"ref": 1002, "message": "Successfully submitted to Questions and Answers"}
    created = state.submissions[2]
    assert created.content == (folder / "submission.csv").read_bytes()
    assert (created.description, created.file_name) == ("a message", "submission.csv")


def test_a_submission_is_pending_and_then_scored(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    pending, scored = talk[0]["get"]
    assert (pending["status"], pending["public_score"]) == ("SubmissionStatus.PENDING", "")
    assert (scored["status"], scored["public_score"]) == ("SubmissionStatus.COMPLETE", "0.25000")
    assert scored["private_score"] == "", "hidden until the deadline"


def test_the_list_is_newest_first_and_paged(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    assert talk[0]["pages"] == [[1002, 1001], [1000]]
    assert [row["error_description"] for row in talk[0]["list"]] == ["", "Wrong column names", ""]


def test_limits_and_competition(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    seen, state, _ = talk
    assert seen["limits"] == [3, 3, 2, False]
    assert seen["competition"][:5] == [5, True, False, False, "Exact Match"]
    assert seen["competition"][5][:19] == state.competitions["qa-cup"].deadline.isoformat()[:19]


def test_the_leaderboard_holds_the_teams_best(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    assert talk[0]["leaderboard"] == [["Ada", "0.90"], ["Testers", "0.50000"], ["Grace", "0.40"]]


def test_files_are_listed_and_downloaded(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    seen, state, folder = talk
    files = state.competitions["qa-cup"].files
    assert seen["files"] == [[name, len(content)] for name, content in files.items()]
    assert (folder / "test.csv").read_bytes() == files["test.csv"]
    assert (folder / "qa-cup.zip").read_bytes() == state.competitions["qa-cup"].bundle()


def test_code_submissions_name_the_notebook(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    seen, state, _ = talk
    assert seen["code"]["ref"] == 1003
    code = state.submissions[3].code
    assert code is not None
    assert (code["kernelOwner"], code["kernelSlug"], code["kernelVersion"]) == ("tester", "notebook", 3)


def test_refusals_carry_kaggles_message(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    unknown, notebooks = talk[0]["errors"]
    assert unknown == "HTTPError: Competition 'no-such-cup' was not found"
    assert notebooks.startswith("HTTPError: Submission not allowed: this competition only accepts")


def test_tokens_are_looked_up_and_keys_are_checked(server: KaggleServer, tmp_path: Path) -> None:
    script = "import kaggle; print(len(kaggle.api.competition_submissions('qa-cup')))"
    good = client(server, tmp_path, "-c", script, KAGGLE_API_TOKEN=TOKEN)
    assert (good.returncode, good.stdout) == (0, "0\n"), good.stderr
    assert server.calls("IntrospectToken") == 1
    bad = client(server, tmp_path, "-c", script, KAGGLE_KEY="wrong")
    assert bad.returncode == 1
    assert "HTTPError: Unauthenticated" in bad.stderr


def test_it_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    command = [sys.executable, str(Path(__file__).with_name("kaggle_server.py")), "--state", str(state)]
    command += ["--fault", "GetSubmissionLimits=forbidden"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=isolated(tmp_path / "home"))
    try:
        assert process.stdout is not None
        hello = json.loads(process.stdout.readline())
        request = urllib.request.Request(f"{hello['url']}/upload/unknown", data=b"x", method="PUT")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request)
        assert [one["method"] for one in json.loads(state.read_text())["requests"]] == ["PUT"]
        with urllib.request.urlopen(f"{hello['url']}/__state__") as answer:
            assert json.loads(answer.read())["submissions"] == []
    finally:
        process.terminate()
        process.wait()


def test_a_submission_is_kept_byte_for_byte(talk: tuple[dict[str, Any], KaggleState, Path]) -> None:
    _, state, folder = talk
    expected = hashlib.sha256((folder / "submission.csv").read_bytes()).hexdigest()
    assert state.snapshot()["submissions"][2]["sha256"] == expected
