"""Keys and tokens never show: not on the screen, not in the ledger, not in what goes to the storage host."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import faults
import pytest
from bench import SUBMIT, Bench
from faults import Fault
from kaggle_http import KEY, TOKEN, USER
from processes import Done

CANARY = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry00"
PLACES = ("KAGGLE_KEY", "KAGGLE_API_TOKEN", "kaggle.json", "access_token", "a token over a key")
COMMANDS = (
    SUBMIT,
    ("submit", "submission.csv", "-c", "qa-cup", "--dry-run", "--json"),
    ("kaggle", "submissions", "--sync", "-c", "qa-cup", "--json"),
    ("kaggle", "leaderboard", "-c", "qa-cup"),
    ("kaggle", "download", "-c", "qa-cup"),
    ("kaggle", "doctor", "-c", "qa-cup"),
)


def forms(secret: str) -> set[str]:
    """The ways in which a secret may show up."""
    return {secret, base64.b64encode(f"{USER}:{secret}".encode()).decode()}


def keep(bench: Bench, place: str, secret: str) -> None:
    """Put a secret where the client looks for one."""
    home = Path(bench.env["HOME"])
    for name in ("KAGGLE_KEY", "KAGGLE_USERNAME"):
        del bench.env[name]
    if place == "KAGGLE_KEY":
        bench.env |= {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": secret}
    elif place == "KAGGLE_API_TOKEN":
        bench.env["KAGGLE_API_TOKEN"] = secret
    elif place == "kaggle.json":
        (home / "kaggle").mkdir()
        (home / "kaggle" / "kaggle.json").write_text(json.dumps({"username": USER, "key": secret}), "utf-8")
        (home / "kaggle" / "kaggle.json").chmod(0o600)
    elif place == "access_token":
        (home / ".kaggle").mkdir()
        (home / ".kaggle" / "access_token").write_text(secret + "\n", "utf-8")
    else:
        bench.env |= {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY, "KAGGLE_API_TOKEN": secret}


def check(bench: Bench, done: Done, *secrets: str) -> None:
    """No secret in what was said or written."""
    for secret in (form for each in secrets for form in forms(each)):
        assert secret not in done.text
        for file in (path for path in bench.folder.rglob("*") if path.is_file()):
            assert secret.encode() not in file.read_bytes(), file


def telltale(*secrets: str) -> list[Fault]:
    """Answers that tell the secrets back, as proxies and stack traces do."""
    words = " ".join(f"Authorization: {form}" for secret in secrets for form in sorted(forms(secret)))
    page = f"<html><pre>{words}</pre></html>".encode()
    return [
        faults.refusal(400, words),
        faults.refusal(403, words),
        faults.refusal(500, words),
        Fault("HTML", status=502, body=page, content_type="text/html"),
        Fault("HTML with 200", body=page, content_type="text/html"),
        Fault("redirect", status=302, headers={"Location": f"http://localhost:9/{secrets[0]}"}),
    ]


@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_secret_is_named_by_its_place_only(place: str, bench: Bench) -> None:
    keep(bench, place, CANARY)
    bench.env["VERBOSE"] = bench.env["VERBOSE_OUTPUT"] = "1"
    done = bench.submit()
    assert (done.code, bench.ledger()) == (4, [])
    named = "KAGGLE_API_TOKEN" if "over" in place else place
    assert named in done.err
    check(bench, done, CANARY)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
@pytest.mark.parametrize("secret", [KEY, TOKEN], ids=["key", "token"])
def test_nothing_that_works_shows_a_secret(secret: str, command: tuple[str, ...], bench: Bench) -> None:
    keep(bench, "KAGGLE_KEY" if secret is KEY else "KAGGLE_API_TOKEN", secret)
    bench.env["VERBOSE"] = "1"
    done = bench.run(*command)
    assert done.code == 0, done.err
    check(bench, done, secret)


@pytest.mark.parametrize("fault", telltale(KEY), ids=lambda fault: fault.name)
@pytest.mark.parametrize("method", ["GetCompetition", "PUT", "CreateSubmission"])
def test_answers_that_tell_the_key_back(method: str, fault: Fault, bench: Bench) -> None:
    bench.env["VERBOSE"] = "1"
    bench.server.inject(method, fault, times=None)
    bench.server.inject("ListSubmissions", fault, times=None)
    done = bench.submit()
    assert done.code in (4, 5)
    check(bench, done, KEY)
    if method == "GetCompetition" and fault.status in (400, 403, 500):
        assert done.err.count("***") >= 2, "Kaggle's words are shown, without the secrets"


@pytest.mark.parametrize("fault", telltale(TOKEN)[:2], ids=lambda fault: fault.name)
def test_answers_that_tell_the_token_back(fault: Fault, bench: Bench) -> None:
    keep(bench, "a token over a key", TOKEN)
    for method in ("IntrospectToken", "CreateSubmission"):
        bench.server.inject(method, fault, times=None)
        done = bench.submit()
        check(bench, done, TOKEN, KEY)
        bench.server.heal()


def test_a_ledger_that_cannot_be_written(bench: Bench) -> None:
    (bench.folder / "submissions").write_text("a file in the ledger's place", "utf-8")
    done = bench.submit()
    assert done.code == 2
    check(bench, done, KEY)


def test_the_storage_host_gets_no_credentials(bench: Bench) -> None:
    assert bench.submit().code == 0
    assert bench.run("kaggle", "download", "-c", "qa-cup").code == 0
    told = {one.method: one.authorization for one in bench.server.seen}
    assert told["CreateSubmission"]
    assert told["DownloadDataFiles"]
    assert (told["PUT"], told["GET"]) == (False, False)


def test_nothing_is_written_into_the_home_folder(bench: Bench) -> None:
    before = {path.name for path in Path(bench.env["HOME"]).rglob("*")}
    assert bench.submit().code == 0
    after = {path.name for path in Path(bench.env["HOME"]).rglob("*") if path.is_file()}
    assert after <= before


@pytest.mark.parametrize("before", [285, 290, 295])
def test_a_secret_that_long_words_would_cut_in_two(before: int, bench: Bench) -> None:
    bench.server.inject("GetCompetition", faults.refusal(400, "." * before + KEY + "." * 300))
    done = bench.submit()
    assert done.code == 4
    assert KEY[:5] not in done.text
