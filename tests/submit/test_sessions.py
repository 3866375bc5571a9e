"""Trainings at Kaggle: one session whatever goes wrong, and the run that this machine would have made."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import faults
import notebooks
import pytest
from bench import Bench
from environments import isolated
from faults import Fault
from hypothesis import given
from hypothesis import strategies as st
from kaggle_notebooks import Executed, Kernel, Notebooks, ended, report_of
from kaggle_server import KaggleServer
from kaggle_state import KaggleState
from processes import Processes
from whole_round import RECIPE, question_cup

from qakit.errors import DataError, QakitError, RunError, SubmissionError
from qakit.files import names_in
from qakit.recipe.load import dump_recipe
from qakit.recipe.model import Recipe
from qakit.sessions import there
from qakit.sessions.flow import Desk, begin, go_on, kernel_name
from qakit.sessions.following import adopt, fetch, look, train_to_the_end
from qakit.sessions.job import THERE, Job, Limits
from qakit.sessions.kernels import Kernels
from qakit.sessions.notebook import notebook
from qakit.sessions.record import Session, SessionLedger
from qakit.submit.client import connect
from qakit.submit.settings import KaggleSettings

PAUSE = 0.002
ORDER = {
    "session": "0123456789",
    "training": "20260101-000000-0123456789",
    "name": "one",
    "follows": None,
    "number": 1,
    "texts": {},
    "places": {},
    "datasets": {},
    "competitions": {},
    "machine": None,
    "seconds": 3600,
    "internet": True,
}
"""What a notebook says of its session."""


class Office:
    """A desk, a packed training on it, and a command that is given again and again."""

    def __init__(self, folder: Path, server: KaggleServer) -> None:
        self.folder, self.server, self.run = folder, server, folder / "runs" / "one"
        self.said: list[str] = []
        data = {"reader": "squad", "train": f"{THERE}/data/0/train.json"}
        recipe = Recipe.model_validate({"data": data, "backbone": {"source": f"{THERE}/data/1/bert"}})
        datasets = {"qakit-code-1": ("a.whl",), "qakit-data-2": ("qakit-data-2.pack",)}
        places = {f"{THERE}/data/0/train.json": "/home/me/train 1.json", f"{THERE}/data/1/bert": "/home/me/bert"}
        limits = Limits("NvidiaTeslaT4", 0.5, internet=True)
        self.job = Job({"recipe.yaml": dump_recipe(recipe)}, places, datasets, {}, limits)
        for slug, (name,) in datasets.items():
            (folder / "packed" / slug).mkdir(parents=True)
            (folder / "packed" / slug / name).write_bytes(b"content of " + name.encode())

    def seeded(self, seed: int) -> Job:
        """The same training, but for the seed."""
        recipe = self.job.texts["recipe.yaml"]
        return replace(self.job, texts={"recipe.yaml": re.sub(r"^seed: \d+", f"seed: {seed}", recipe, flags=re.M)})

    def begin(self, job: Job, run: Path) -> Session:
        """`qakit kaggle train RECIPE -o RUN --detach`, and how it is now."""
        desk = self.desk()
        return look(desk, begin(desk, job, self.folder / "packed", run))

    def resume(self, run: Path) -> Session:
        """`qakit kaggle train --resume RUN`."""
        desk = self.desk()
        adopt(desk, run)
        return train_to_the_end(desk, go_on(desk, run), self.said.append)

    def desk(self) -> Desk:
        """As a new command sees it."""
        settings = KaggleSettings(self.server.url, timeout=0.3, poll=PAUSE)
        kernels = Kernels(connect(settings, say=self.said.append))
        return Desk(SessionLedger(self.folder / "sessions"), kernels, PAUSE, self.said.append)

    def train(self) -> Session:
        """`qakit kaggle train RECIPE`, once it is packed."""
        desk = self.desk()
        desk.kernels.quota()
        return train_to_the_end(desk, begin(desk, self.job, self.folder / "packed", self.run), self.said.append)

    def refused(self) -> QakitError:
        with pytest.raises(QakitError) as caught:
            self.train()
        return caught.value

    @property
    def states(self) -> list[str]:
        return [each.state for each in SessionLedger(self.folder / "sessions").read()]

    @property
    def started(self) -> list[int]:
        """How often each notebook was started."""
        return [len(each.requests) for each in self.server.state.notebooks.kernels.values()]


def seed_of(run: Path) -> str:
    return next(line for line in (run / "recipe.yaml").read_text().splitlines() if line.startswith("seed:"))


@pytest.fixture
def elsewhere(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    """The same user at another machine."""
    (folder := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(folder)
    return Office(folder, office.server)


@pytest.fixture
def office(server: KaggleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    for name, value in isolated(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    return Office(tmp_path, server)


def test_a_run_comes_back_with_the_files_names_here(office: Office) -> None:
    assert office.train().state == "FETCHED"
    recipe = (office.run / "recipe.yaml").read_text()
    assert '"/home/me/train 1.json"' in recipe
    assert THERE not in recipe
    (kernel,) = office.server.state.notebooks.kernels.values()
    (request,) = kernel.requests
    assert request["machineShape"] == "NvidiaTeslaT4"
    assert (request["enableGpu"], request["enableInternet"], request["sessionTimeoutSeconds"]) == (True, True, 1800)
    assert sorted(office.server.state.notebooks.datasets) == ["tester/qakit-code-1", "tester/qakit-data-2"]
    assert not list((office.folder / "sessions").glob("*/qakit-*")), "what Kaggle has need not lie here, too"
    assert "hello" in office.said


def test_datasets_are_reused_and_the_second_training_is_its_own(office: Office) -> None:
    office.train()
    office.run = office.folder / "runs" / "two"
    office.train()
    assert office.server.calls("CreateDataset") == 2
    assert office.started == [1, 1]


def test_the_same_training_that_runs_already_is_found(office: Office) -> None:
    office.server.state.notebooks.run = lambda notebooks, kernel: None  # it goes on and on
    desk = office.desk()
    first = begin(desk, office.job, office.folder / "packed", office.run)
    again = begin(desk, office.job, office.folder / "packed", office.folder / "runs" / "other")
    assert (again.kernel, again.run, office.started) == (first.kernel, first.run, [1])
    assert look(desk, first).state == "RUNNING"


def test_a_session_that_stops_in_time_is_followed_by_one_that_reads_it(office: Office) -> None:
    runners = [ended("STOPPED", "step-00000004"), ended("STOPPED", "step-00000008"), ended()]
    office.server.state.notebooks.run = lambda notebooks, kernel: runners.pop(0)(notebooks, kernel)
    assert office.train().state == "FETCHED"
    one, two, three = office.server.state.notebooks.kernels.values()
    assert [kernel.requests[0].get("kernelDataSources") for kernel in (one, two, three)] == [None, [one.ref], [two.ref]]
    assert three.order["follows"] == two.order["session"]
    assert office.states == ["STOPPED", "STOPPED", "FETCHED"]


@pytest.mark.parametrize("progress", ["-", "step-00000004"])
def test_sessions_that_get_no_further_are_not_repeated_for_ever(progress: str, office: Office) -> None:
    office.server.state.notebooks.run = ended("STOPPED", progress)
    assert "got no further" in str(office.refused())
    assert len(office.started) == (1 if progress == "-" else 2)


def test_a_session_that_fails_is_told_and_the_next_goes_on_from_the_one_before(office: Office) -> None:
    runners = [ended("STOPPED", "step-00000004"), ended("FAILED", "-"), ended()]
    office.server.state.notebooks.run = lambda notebooks, kernel: runners.pop(0)(notebooks, kernel)
    assert "session 2 failed" in str(office.refused())
    desk = office.desk()
    session = train_to_the_end(desk, go_on(desk, office.run), office.said.append)
    one, _, three = office.server.state.notebooks.kernels.values()
    assert (session.number, three.requests[0]["kernelDataSources"]) == (3, [one.ref])
    assert go_on(desk, office.run) == session, "nothing is left to do"


def test_another_training_in_the_same_place_does_not_go_on_from_the_one_before(office: Office) -> None:
    runners = [ended("STOPPED", "step-00000004"), ended(), ended("FAILED", "-"), ended()]
    office.server.state.notebooks.run = lambda notebooks, kernel: runners.pop(0)(notebooks, kernel)
    assert office.train().state == "FETCHED"
    office.run.rename(office.run.with_name("before"))
    office.job = office.seeded(7)
    assert "session 1 failed" in str(office.refused())
    session = office.resume(office.run)
    assert (session.state, session.number, session.follows) == ("FETCHED", 2, None)
    assert seed_of(office.run) == "seed: 7"


@pytest.mark.parametrize("state", ["RUNNING", "STOPPED", "FINISHED"])
def test_a_place_that_another_training_has_is_not_given_away(state: str, office: Office) -> None:
    """It would come there, too, when it is fetched."""
    notebooks, finish = office.server.state.notebooks, ended()
    notebooks.run = (lambda *_: None) if state == "RUNNING" else ended(state, "-")
    first = office.begin(office.seeded(1), office.run)
    notebooks.run = finish
    office.job = office.seeded(2)
    refusal = office.refused()
    assert (refusal.exit_code, office.started) == (2, [1])
    assert f"{office.run} is the place of another training, whose session 1 is {state.lower()}" in str(refusal)
    assert "\n" not in str(refusal)
    finish(notebooks, *notebooks.kernels.values())
    desk = office.desk()
    assert fetch(desk, look(desk, first)).state in ("FETCHED", "STOPPED")
    if state != "STOPPED":
        assert seed_of(office.run) == "seed: 1"
        office.run.rename(office.run.with_name("before"))
        assert (office.train().state, seed_of(office.run)) == ("FETCHED", "seed: 2"), "the place is free"


def test_a_training_that_has_failed_keeps_no_place(office: Office) -> None:
    notebooks = office.server.state.notebooks
    notebooks.run = ended("FAILED", "-")
    assert office.begin(office.seeded(1), office.run).state == "FAILED"
    notebooks.run = lambda *_: None
    mended = office.begin(office.seeded(2), office.run)
    again = office.begin(office.seeded(1), office.run.with_name("two"))
    assert (mended.number, again.number, again.follows) == (1, 1, None)
    assert (mended.run, again.run) == (str(office.run), str(office.run.with_name("two")))


@pytest.mark.parametrize("state", ["FINISHED", "FETCHED"])
def test_the_run_of_another_training_is_not_replaced(state: str, office: Office) -> None:
    """Neither by one that had its place before, nor taken for it."""
    office.job = office.seeded(1)
    before = office.train()
    office.run.rename(office.run.with_name("before"))
    office.job = office.seeded(2)
    assert office.train().state == "FETCHED"
    with pytest.raises(RunError, match="holds something else than what was fetched of this training: move it away"):
        fetch(office.desk(), replace(before, state=state))
    assert seed_of(office.run) == "seed: 2"
    shutil.rmtree(office.run)
    assert fetch(office.desk(), before) == before
    assert seed_of(office.run) == "seed: 1"


@pytest.mark.parametrize("state", ["STOPPED", "FINISHED"])
def test_the_same_training_that_has_ended_already_is_not_begun_anew(state: str, office: Office) -> None:
    office.server.state.notebooks.run = ended(state, "step-00000004" if state == "STOPPED" else "finished")
    desk = office.desk()
    first = look(desk, begin(desk, office.job, office.folder / "packed", office.run))
    assert first.state == state
    office.server.state.notebooks.run = ended()
    office.server.state.notebooks.datasets.clear()  # the user has made room there
    assert office.train().state == "FETCHED"
    assert office.states == ["FETCHED"] if state == "FINISHED" else ["STOPPED", "FETCHED"]
    latest = SessionLedger(office.folder / "sessions").read()[-1]
    assert latest.follows == (first.kernel if state == "STOPPED" else None)
    assert not list((office.folder / "sessions").glob("*/qakit-*")), "what Kaggle has need not lie here, too"


def test_a_training_goes_on_from_another_machine_and_back_here(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runners = [ended("STOPPED", "step-00000004"), ended("FAILED", "-"), ended()]
    notebooks = office.server.state.notebooks
    notebooks.run = lambda notebooks, kernel: runners.pop(0)(notebooks, kernel)
    office.job = replace(
        office.job, places={**office.job.places, f"{THERE}/data/2/own.json": str(tmp_path / "own.json")}
    )
    monkeypatch.chdir(tmp_path)
    desk = office.desk()
    first = look(desk, begin(desk, office.job, office.folder / "packed", office.run))

    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    other = Office(elsewhere, office.server)
    desk = other.desk()
    (found,) = adopt(desk, other.run)
    assert (found.kernel, found.state, found.job) == (first.kernel, "STOPPED", first.job)
    job = Job.load(desk.ledger.folder / found.folder)
    assert job.places[f"{THERE}/data/2/own.json"] == str(elsewhere / "own.json"), (
        "files of the working folder, of this one"
    )
    assert adopt(desk, other.run) == [found], "what is known is not asked for again"
    with pytest.raises(SubmissionError, match="session 2 failed"):
        train_to_the_end(desk, go_on(desk, other.run), other.said.append)

    monkeypatch.chdir(tmp_path)
    desk = office.desk()
    assert [each.state for each in adopt(desk, office.run)] == ["STOPPED", "FAILED"]
    session = train_to_the_end(desk, go_on(desk, office.run), office.said.append)
    assert (session.state, session.number, session.follows) == ("FETCHED", 3, first.kernel)
    assert '"/home/me/train 1.json"' in (office.run / "recipe.yaml").read_text()
    assert office.started == [1, 1, 1]


ALIKE = (
    ("deberta-v3-large-squad2-lr1e-5-seed-1", "deberta-v3-large-squad2-lr1e-5-seed-2"),
    ("測試一", "測試二"),
    ("Exp.1", "exp-1"),
)


@pytest.mark.parametrize("names", ALIKE, ids=lambda names: names[0])
def test_names_that_are_alike_are_two_runs_on_another_machine(
    names: tuple[str, str], office: Office, elsewhere: Office
) -> None:
    runners = [ended("STOPPED", "step-00000004")] * 2 + [ended()] * 2
    office.server.state.notebooks.run = lambda notebooks, kernel: runners.pop(0)(notebooks, kernel)
    for seed, name in enumerate(names):
        office.begin(office.seeded(seed), office.run.with_name(name))
    for seed, name in enumerate(names):
        run = elsewhere.run.with_name(name)
        session = elsewhere.resume(run)
        assert (session.state, session.number, seed_of(run)) == ("FETCHED", 2, f"seed: {seed}")


def test_a_notebook_of_another_runs_session_is_passed_over(office: Office, elsewhere: Office) -> None:
    """Two names may be the same to Kaggle; what counts stands in the notebook."""
    office.server.state.notebooks.run = ended()
    office.begin(office.job, office.run)
    (kernel,) = office.server.state.notebooks.kernels.values()
    kernel.requests[0]["text"] = kernel.requests[0]["text"].replace("'name': 'one'", "'name': 'One'")
    assert kernel.order["name"] == "One"
    assert adopt(elsewhere.desk(), elsewhere.run) == []
    assert not elsewhere.said


def test_the_newest_training_of_a_name_is_taken_once_the_known_one_is_fetched_and_gone(
    office: Office, elsewhere: Office
) -> None:
    runners = [ended(), ended("STOPPED", "step-00000004"), ended(), ended()]
    office.server.state.notebooks.run = lambda notebooks, kernel: runners.pop(0)(notebooks, kernel)
    old, new = "20260101-000000-0123456789", "20260101-000001-0123456789"
    office.job = office.seeded(1)
    office.begin(office.job, office.run)
    rename_training(office, old)
    assert office.resume(office.run).state == "FETCHED"
    elsewhere.begin(elsewhere.seeded(2), elsewhere.run)
    rename_training(elsewhere, new)

    assert office.resume(office.run).folder == old, "it is there: nothing is left to do"
    office.run.rename(office.run.with_name("before"))
    session = office.resume(office.run)
    assert (session.state, session.folder, session.number, seed_of(office.run)) == ("FETCHED", new, 2, "seed: 2")
    assert elsewhere.resume(elsewhere.run).state == "FETCHED"
    shutil.rmtree(elsewhere.run)
    assert (elsewhere.resume(elsewhere.run).folder, seed_of(elsewhere.run)) == (new, "seed: 2"), "not the older one"
    assert office.started == [1, 1, 1]


def rename_training(office: Office, folder: str) -> None:
    """Let a training have begun at another time."""
    ledger = SessionLedger(office.folder / "sessions")
    (before,) = {each.folder for each in ledger.read()}
    ledger.file.write_text(ledger.file.read_text().replace(before, folder))
    (ledger.folder / before).rename(ledger.folder / folder)
    for kernel in office.server.state.notebooks.kernels.values():
        kernel.requests[0]["text"] = kernel.requests[0]["text"].replace(before, folder)


@pytest.mark.parametrize(
    "order",
    [
        "open('/etc/passwd')",
        "{'session': 'cut off",
        "[" * 5_000,
        *(repr({**ORDER, **own}) for own in ({"places": []}, {"number": "2"}, {"seconds": 1e999}, {"session": 7})),
        *(repr({**ORDER, "training": name}) for name in ("ledger.jsonl", "../victim", None)),
    ],
    ids=lambda text: text[:20],
)
def test_other_notebooks_are_not_taken_for_a_runs_sessions(order: str, office: Office) -> None:
    office.server.state.notebooks.run = lambda notebooks, kernel: None
    desk = office.desk()
    begin(desk, office.job, office.folder / "packed", office.run)
    (kernel,) = office.server.state.notebooks.kernels.values()
    kernel.requests[0]["text"] = json.dumps({"cells": [{"source": f"ORDER = {order}"}]})
    shutil.rmtree(office.folder / "sessions")
    assert adopt(office.desk(), office.run) == []
    assert "its notebook is none" in office.said[-1]
    assert adopt(office.desk(), office.run.with_name("two")) == []


def test_a_notebook_that_ends_without_a_word_has_failed(office: Office) -> None:
    def die(_: object, kernel: object) -> None:
        kernel.status, kernel.message = "ERROR", "Your notebook tried to allocate more memory than is available"  # type: ignore[attr-defined]

    office.server.state.notebooks.run = die
    assert "allocate more memory" in str(office.refused())
    assert office.states == ["FAILED"]


def test_what_is_not_what_was_written_there_is_not_taken(office: Office) -> None:
    whole = ended()

    def change(notebooks: object, kernel: object) -> None:
        whole(notebooks, kernel)  # type: ignore[arg-type]
        kernel.outputs["one/metrics.json"] = b"[]\n"  # type: ignore[attr-defined]

    office.server.state.notebooks.run = change
    assert "is not what was written there" in str(office.refused())
    assert (office.run.exists(), office.states) == (False, ["FINISHED"])


@pytest.mark.parametrize("name", ["../../victim", "/tmp/victim", "a/../../b", "a\\b"])
def test_a_report_that_names_a_place_outside_is_refused(name: str, office: Office) -> None:
    office.server.state.notebooks.run = ended()
    desk = office.desk()
    session = look(desk, begin(desk, office.job, office.folder / "packed", office.run))
    (kernel,) = office.server.state.notebooks.kernels.values()
    report = json.loads(kernel.outputs["qakit-session.json"])
    report["files"] = {name: {"bytes": 1, "sha256": "0"}}
    kernel.outputs["qakit-session.json"] = json.dumps(report).encode()
    with pytest.raises(DataError, match="file name"):
        fetch(desk, session)
    assert not office.run.exists()


def test_a_run_that_lies_there_is_not_replaced_unless_it_was_fetched(office: Office) -> None:
    office.train()
    desk = office.desk()
    (session,) = desk.ledger.read()
    fetch(desk, session.to("STOPPED"))  # over itself
    (office.run / "kaggle.json").write_text("{}")
    with pytest.raises(RunError, match="move it away"):
        fetch(desk, session.to("STOPPED"))


def test_a_fetch_leaves_the_users_own_files(office: Office) -> None:
    steps = [ended("STOPPED", "step-00000004"), ended()]
    files = [{"metrics.jsonl": b"4", "soup/old": b"4"}, {"metrics.jsonl": b"8"}]

    def run(notebooks: Notebooks, kernel: Kernel) -> None:
        steps.pop(0)(notebooks, kernel)
        report = json.loads(kernel.outputs["qakit-session.json"])
        texts = {name: text.encode() for name, text in kernel.order["texts"].items()} | files.pop(0)
        kernel.outputs = report_of(kernel, report["state"], texts, progress=report["progress"])

    office.server.state.notebooks.run = run
    session = office.begin(office.job, office.run)
    fetch(office.desk(), session)
    (office.run / "mine").mkdir()
    (office.run / "mine" / "answers.csv").write_text("id,answer\n")
    (office.run / "mine" / "link").symlink_to("answers.csv")
    (office.run / ".lock").touch()
    fetch(office.desk(), session)
    fetched = {"recipe.yaml", "metrics.jsonl", "soup/old", "kaggle.json"}
    assert set(names_in(office.run)) == fetched | {"mine/answers.csv", "mine/link"}

    (office.run / "metrics.jsonl").write_text("mine")
    with pytest.raises(RunError, match=r"one/metrics.jsonl is not as it was fetched, and would be replaced"):
        office.resume(office.run)
    assert (office.run / "metrics.jsonl").read_text() == "mine"
    (office.run / "metrics.jsonl").rename(office.run / "mine.jsonl")
    assert office.resume(office.run).state == "FETCHED"
    assert set(names_in(office.run)) == fetched - {"soup/old"} | {"mine/answers.csv", "mine/link", "mine.jsonl"}
    assert (office.run / "metrics.jsonl").read_text() == "8"
    assert (office.run / "mine" / "link").is_symlink()


# -------------------------------------------------------------------------------------------------------------- faults
METHODS = (
    "GetAcceleratorQuotaStatistics",
    "GetDatasetStatus",
    "StartBlobUpload",
    "PUT",
    "CreateDataset",
    "SaveKernel",
    "GetKernel",
    "ListKernels",
    "GetKernelSessionStatus",
    "Log",
    "ListKernelSessionOutput",
    "GET",
)
PLAYED = (faults.FORBIDDEN, faults.UNAVAILABLE, faults.HTML_OK, faults.DROPPED)
ACTING = ("CreateDataset", "SaveKernel")
CASES = [
    (method, fault, always)
    for method in METHODS
    for fault in (*PLAYED, *(each.after() for each in (*PLAYED, faults.HANG) if method in ACTING))
    for always in (False, True)
    if fault is not faults.UNAVAILABLE or always  # tried again, like the others
]


@pytest.mark.sweep(4)
@pytest.mark.parametrize(("method", "fault", "always"), CASES, ids=[f"{m}, {f.name}, {a}" for m, f, a in CASES])
def test_a_fault_at_any_request_starts_no_second_session(
    method: str, fault: Fault, always: bool, office: Office
) -> None:
    if method in ("GetKernel", "ListKernels"):  # only asked for where an answer was lost
        office.server.inject("SaveKernel", faults.DROPPED if method == "ListKernels" else faults.DROPPED.after())
    office.server.inject(method, fault, times=None if always else 1)
    with_error = None
    try:
        office.train()
    except QakitError as problem:
        with_error = problem
        assert "\n" not in str(problem)
        assert problem.exit_code in (2, 4, 5)
    else:
        assert (office.states, office.started) == (["FETCHED"], [1])
    office.server.heal()
    if with_error is not None:
        sessions = SessionLedger(office.folder / "sessions").of(office.run)
        settled = bool(sessions) and sessions[-1].state not in ("INTENT", "PUSHING", "RUNNING")
        desk = office.desk()
        session = go_on(desk, office.run) if settled else begin(desk, office.job, office.folder / "packed", office.run)
        train_to_the_end(desk, session, office.said.append)
    assert office.states[-1] == "FETCHED"
    refused_and_done = method == "SaveKernel" and fault.acts and fault.status in (403, 404)
    assert sum(office.started) == 1 + refused_and_done, "unless Kaggle says no and does it all the same"


def test_a_request_that_is_carried_out_late_is_found_before_another_is_made(office: Office) -> None:
    state = office.server.state
    office.server.inject("SaveKernel", faults.DROPPED)
    call = state.notebooks.call
    seen: list[dict[str, object]] = []

    def late(method: str, request: dict[str, object], blobs: object) -> dict[str, object] | None:
        if method == "GetDatasetStatus" and SessionLedger(office.folder / "sessions").read()[-1].error and not seen:
            seen.append(request)
            session = SessionLedger(office.folder / "sessions").read()[-1]
            push = notebook(session, office.job, follows=None)
            title = session.kernel.partition("/")[2].replace("-", " ")
            request_ = {"slug": session.kernel, "newTitle": title, "text": json.dumps(push), "isPrivate": True}
            call("SaveKernel", request_, {})
        return call(method, request, blobs)  # type: ignore[arg-type]

    state.notebooks.call = late  # type: ignore[method-assign, assignment]
    assert office.train().state == "FETCHED"
    assert (office.started, len(seen), office.server.calls("SaveKernel")) == ([1], 1, 1)


# --------------------------------------------------------------------------------------------------------------- kills
@pytest.fixture
def begun(make_bench: Callable[..., Bench]) -> Callable[..., Bench]:
    """A user with a recipe, whose wheel is made in no time."""

    def make(server: KaggleServer, **options: bool) -> Bench:
        bench = make_bench(server, NO_WHEEL="1", **options)
        (bench.folder / "bert").mkdir()
        bench.write("bert/config.json", "{}")
        bench.write("train.json", "{}")
        bench.write("a.yaml", "data: {reader: squad, train: train.json}\nbackbone: {source: ./bert}\n")
        return bench

    return make


TRAIN = ("kaggle", "train", "a.yaml", "-o", "runs/a", "--session-hours", "1")


@pytest.mark.sweep(2)
@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True], ids=["", "when an answer is lost"])
def test_killed_after_every_write_to_the_disk(lost: bool, begun: Callable[..., Bench]) -> None:
    killed = 0
    for number in range(1, 200, 3):
        with KaggleServer() as server:
            server.state.notebooks.run = lambda notebooks, kernel: None
            if lost:
                server.inject("SaveKernel", faults.DROPPED.after())
            bench = begun(server)
            done = bench.run(*TRAIN, "--detach", fsync=number, torn=False)
            if done.code == 0:
                break
            assert done.code == -9, done.text
            server.heal()
            assert bench.run(*TRAIN, "--detach").code == 0
            lines = (bench.folder / "sessions" / "ledger.jsonl").read_text().splitlines()
            assert json.loads(lines[-1])["state"] == "RUNNING"
            assert [len(each.requests) for each in server.state.notebooks.kernels.values()] == [1]
            killed += 1
    assert killed >= 4


def test_ctrl_c_leaves_the_session_running_and_says_so(server: KaggleServer, begun: Callable[..., Bench]) -> None:
    server.state.notebooks.run = lambda notebooks, kernel: None
    bench = begun(server, trains=True)
    running = bench.start(*TRAIN)
    until = time.monotonic() + 60
    while not server.calls("Log") and time.monotonic() < until:
        time.sleep(0.02)
    running.process.signal(signal.SIGINT)
    done = running.wait()
    assert done.code == 130, done.text
    assert "the session keeps running at Kaggle: https://www.kaggle.com/code/tester/qakit-a-" in done.err
    assert "qakit kaggle train --resume runs/a" in done.err
    server.state.notebooks.run = ended()
    (kernel,) = server.state.notebooks.kernels.values()
    ended()(server.state.notebooks, kernel)
    assert bench.run("kaggle", "fetch", "runs/a", "--json").code == 0
    assert "FETCHED" in bench.run("kaggle", "status", "runs/a").out
    assert "hello" in bench.run("kaggle", "logs", "runs/a").err
    assert bench.run("kaggle", "stop", "runs/a").code == 2


def test_what_can_be_known_here_is_said_before_anything_is_sent(
    server: KaggleServer, begun: Callable[..., Bench]
) -> None:
    bench = begun(server)
    wrong = bench.run("kaggle", "train", "a.yaml", "--set", "data.train=none.json")
    assert (wrong.code, "file not found" in wrong.err, server.seen) == (2, True, [])
    assert bench.run("kaggle", "train", "a.yaml", "--accelerator", "t4 x 2").code == 2
    assert bench.run("kaggle", "train").code == 2
    server.state.notebooks.gpu_hours = (30.0, 30.0)
    none = bench.run("kaggle", "train", "a.yaml")
    assert (none.code, "no GPU hours are left" in none.err) == (4, True)
    assert not server.state.notebooks.datasets
    unknown = bench.run("kaggle", "train", "--resume", "runs/x")
    assert (unknown.code, "has no session" in unknown.err) == (2, True)


# --------------------------------------------------------------------------------------------------------------- there
@pytest.mark.parametrize(("program", "state"), [("sleep", "STOPPED"), ("error", "FAILED"), ("pass", "FINISHED")])
def test_a_session_ends_itself_in_time(
    program: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training is another program, which ends with 143 when it is asked to."""
    programs = {
        "sleep": "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print('on'); time.sleep(60)",
        "error": "print('error: the data is bad'); raise SystemExit(2)",
        "pass": "print('well')",
    }
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -u -c "{programs[program]}"\n')
    python.chmod(0o755)
    monkeypatch.setattr(there.sys, "executable", str(python))
    order = {"name": "a", "session": "s", "follows": None, "texts": {"recipe.yaml": "x"}, "data": None}
    order |= {"competitions": {}, "there": str(tmp_path / "there"), "seconds": 2.0, "internet": True}
    said: list[str] = []
    there.train(order, inputs=tmp_path, output=tmp_path / "out", began=time.monotonic(), say=said.append)
    report = json.loads((tmp_path / "out" / "qakit-session.json").read_text())
    assert (report["state"], report.get("error")) == (state, "the data is bad" if program == "error" else None)
    assert report["files"].keys() == {"recipe.yaml"}
    assert report["seconds"] < 30


def test_an_input_that_is_missing_is_told_in_the_report(tmp_path: Path) -> None:
    order = {"name": "a", "session": "s", "data": "qakit-data-1.pack", "there": str(tmp_path / "there")}
    there.train(order, inputs=tmp_path, output=tmp_path / "out", began=0.0, say=lambda _: None)
    report = json.loads((tmp_path / "out" / "qakit-session.json").read_text())
    assert report["state"] == "FAILED"
    assert "not among the notebook's inputs" in report["error"]


@pytest.fixture
def colab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, object]]:
    """The report of a notebook with some texts, whose training writes ``meta.json`` and is disconnected."""

    def disconnected(run: Path, *_: object, **__: object) -> dict[str, str]:
        (run / "meta.json").write_text((run / "recipe.yaml").read_text())
        return {"state": "STOPPED"}

    monkeypatch.setattr(there, "_trained", disconnected)

    def play(**texts: str) -> dict[str, object]:
        named = {name.replace("__", "/").replace("_", "."): text for name, text in texts.items()}
        order = {"name": "a", "session": None, "follows": None, "texts": named, "data": None}
        order |= {"competitions": {}, "there": str(tmp_path / "there"), "seconds": None, "internet": True}
        there.train(order, inputs=tmp_path, output=tmp_path / "runs", began=0.0, say=lambda _: None)
        report: dict[str, object] = json.loads((tmp_path / "runs" / "qakit-session.json").read_text())
        return report

    return play


def test_a_colab_notebook_goes_on_with_the_run_in_drive(
    office: Office, colab: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    """Where it was disconnected, the run is as it was left; that of another training is none of its business."""
    mine, other = (office.seeded(seed).texts["recipe.yaml"] for seed in (1, 2))
    run = tmp_path / "runs" / "a"
    colab(recipe_yaml=other)
    (run / "meta.json").unlink()
    assert colab(recipe_yaml=mine)["state"] == "STOPPED", "where nothing is trained yet, the recipe as it is now"
    (run / "metrics.jsonl").write_text("as it was left")
    assert colab(recipe_yaml=mine)["state"] == "STOPPED"
    assert (run / "metrics.jsonl").read_text() == "as it was left"

    report = colab(recipe_yaml=other)
    assert report["state"] == "FAILED"
    assert f"{run} was begun with seed: 1, but the recipe now says seed: 2; put this notebook's" in str(report["error"])
    assert "\n" not in str(report["error"])
    assert (seed_of(run), (run / "metrics.jsonl").read_text()) == ("seed: 1", "as it was left")


def test_a_colab_notebook_of_other_parts_does_not_go_on(
    office: Office, colab: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    mine, other = (office.seeded(seed).texts["recipe.yaml"] for seed in (1, 2))
    parts = {"recipe_yaml": mine, "folds_json": "{}\n", "fold__recipe_yaml": mine}
    for _ in range(2):
        assert colab(**parts)["state"] == "STOPPED"
    assert "fold was begun with seed: 1" in str(colab(**parts | {"fold__recipe_yaml": other})["error"])
    assert "begun with another folds.json than" in str(colab(**parts | {"folds_json": "[]\n"})["error"])
    assert "begun with another more/recipe.yaml than" in str(colab(**parts, more__recipe_yaml=mine)["error"])


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_colab_notebook_trains(
    tiny_backbone: Path, server: KaggleServer, make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench(server, trains=True, THERE=str(tmp_path / "tmp"))
    for name, content in question_cup(paragraphs=1).files.items():
        bench.write(name, content.decode())
    bench.write("cup.yaml", RECIPE.format(source=tiny_backbone, epochs=1).replace("data/", ""))
    assert bench.start("export", "cup.yaml", "--colab", "drive").wait(200).code == 0
    drive = bench.folder / "drive"
    assert {path.name.rpartition("-")[0] or path.name for path in drive.iterdir()} == {
        "qakit-code",
        "qakit-data",
        "cup.ipynb",
    }
    notebook = json.loads((drive / "cup.ipynb").read_text())
    run = notebooks.start(notebook, tmp_path / "colab", drive, QAKIT_OUTPUT=str(drive / "runs"))
    said, _ = run.communicate(timeout=400)
    assert run.returncode == 0, said
    assert "qakit: finished" in said
    assert (drive / "runs" / "cup" / "predictions" / "submission.csv").is_file()


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=3))
def test_whatever_a_recipe_holds_is_a_literal_in_the_notebook(texts: dict[str, str]) -> None:
    job = Job(texts, {}, {}, {"slug": "')\nraise SystemExit"}, Limits(None, 1.0, internet=True))
    session = Session("0" * 10, "/runs/a", "0" * 64, f"x-{'0' * 10}", "me/a")
    made = json.loads(json.dumps(notebook(session, job, follows=None)))
    order = Kernel("me/a", [{"text": json.dumps(made)}]).order
    assert order["texts"] == texts
    assert order["competitions"] == job.competitions


@given(st.text(max_size=60) | st.sampled_from(["a" * 33, "a" * 34, *(name for names in ALIKE for name in names)]))
def test_any_run_gives_a_name_that_kaggle_takes(run: str) -> None:
    name = kernel_name(run, "0123456789")
    assert 5 <= len(name) <= 50
    assert name == "-".join(name.split("-")) and "--" not in name and name.isascii() and name == name.lower()


# --------------------------------------------------------------------------------------------------------------- whole
@pytest.fixture(scope="module")
def sessions(
    tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory, training_processes: Processes
) -> Iterator[tuple[Bench, KaggleState, str]]:
    """A training in two sessions whose notebooks are executed, with the data of a competition, and one here."""
    folder = tmp_path_factory.mktemp("sessions")
    cup = question_cup(paragraphs=1)
    state = KaggleState(cup)
    state.notebooks.run = Executed(folder / "there", {"qa-cup": cup.files}, 1)
    with KaggleServer(state) as server:
        bench = Bench(folder, server, training_processes, QAKIT_CACHE=str(folder / "cache"), THERE=str(folder / "tmp"))
        bench.write("cup.yaml", RECIPE.format(source=tiny_backbone, epochs=1))
        assert bench.run("kaggle", "download", "-c", "qa-cup", "-o", "data").code == 0
        done = bench.start("kaggle", "train", "cup.yaml", "-o", "runs/cup", "--set", "predict.n_best=3").wait(500)
        assert done.code == 0, done.text
        local = bench.start("train", "cup.yaml", "-o", "here/cup", "--set", "predict.n_best=3", "-q").wait(300)
        assert local.code == 0, local.text
        yield bench, state, done.text


@pytest.mark.exhaustive
@pytest.mark.slow
def test_two_sessions_make_the_run_of_one_training_here(sessions: tuple[Bench, KaggleState, str]) -> None:
    bench, state, said = sessions
    first, second = state.notebooks.kernels.values()
    assert "stopped by SIGTERM after step 1" in said
    assert "resuming from step-00000001" in said
    assert second.requests[0]["kernelDataSources"] == [first.ref]
    assert first.requests[0]["competitionDataSources"] == ["qa-cup"]
    (pack,) = (files for ref, files in state.notebooks.datasets.items() if "qakit-data" in ref)
    assert b"train.json" not in pack[0][1], "the competition's data is at Kaggle already"
    there, here = bench.folder / "runs" / "cup", bench.folder / "here" / "cup"
    assert second.outputs["submission.csv"] == (here / "predictions" / "submission.csv").read_bytes()
    files = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()} - {".lock"}
    assert {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()} == files | {
        "kaggle.json"
    }
    for name in files - {
        "metrics.json",
        "timings.jsonl",
        "view.html",
        "curves.png",
    }:  # with times; drawn in a quick way
        assert (there / name).read_bytes() == (here / name).read_bytes(), name
    for name in ("validation", "metric"):
        figures = [json.loads((run / "metrics.json").read_text()).get(name) for run in (there, here)]
        assert figures[0] == figures[1]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_fetched_run_is_a_run(sessions: tuple[Bench, KaggleState, str]) -> None:
    bench, state, _ = sessions
    assert "cup" in bench.run("runs", "list").out
    assert bench.start("submit", "runs/cup").wait(300).code == 0
    assert len(state.submissions) == 1
    assert bench.start("kaggle", "train", "--resume", "runs/cup").wait(300).code == 0, "nothing is left to do"
    assert len(state.notebooks.kernels) == 2
