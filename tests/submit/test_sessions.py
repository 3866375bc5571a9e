"""Trainings at Kaggle: one session whatever goes wrong, and the run that this machine would have made."""

from __future__ import annotations

import json
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
from kaggle_notebooks import Executed, Kernel, ended
from kaggle_server import KaggleServer
from kaggle_state import KaggleState
from processes import Processes
from whole_round import RECIPE, question_cup

from qakit.errors import DataError, QakitError, RunError, SubmissionError
from qakit.recipe.load import dump_recipe
from qakit.recipe.model import Recipe
from qakit.sessions import there
from qakit.sessions.adopt import adopt
from qakit.sessions.flow import Desk, begin, go_on, kernel_name
from qakit.sessions.following import fetch, look, train_to_the_end
from qakit.sessions.job import THERE, Job, Limits
from qakit.sessions.kernels import Kernels
from qakit.sessions.notebook import notebook
from qakit.sessions.record import Session, SessionLedger
from qakit.submit.client import connect
from qakit.submit.settings import KaggleSettings

PAUSE = 0.002
ORDER = {
    "session": "0123456789",
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
    runners = [ended("STOPPED", "step-00000004"), ended("FAILED", "-"), ended()]
    notebooks = office.server.state.notebooks
    notebooks.run = lambda notebooks, kernel: runners.pop(0)(notebooks, kernel)
    desk = office.desk()
    assert look(desk, begin(desk, office.job, office.folder / "packed", office.run)).state == "STOPPED"
    other = office.job.texts["recipe.yaml"].replace("seed: 0", "seed: 7")
    assert other != office.job.texts["recipe.yaml"]
    office.job = replace(office.job, texts={"recipe.yaml": other})
    assert "session 1 failed" in str(office.refused())
    session = train_to_the_end(desk, go_on(desk, office.run), office.said.append)
    assert (session.state, session.number, session.follows) == ("FETCHED", 2, None)
    assert "seed: 7" in (office.run / "recipe.yaml").read_text()


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


@pytest.mark.parametrize(
    "order",
    [
        "open('/etc/passwd')",
        "{'session': 'cut off",
        "[" * 5_000,
        *(repr({**ORDER, **own}) for own in ({"places": []}, {"number": "2"}, {"seconds": 1e999}, {"session": 7})),
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
def begun(make_bench: Callable[..., Bench]) -> Callable[[KaggleServer], Bench]:
    """A user with a recipe, whose wheel is made in no time."""

    def make(server: KaggleServer) -> Bench:
        bench = make_bench(server, NO_WHEEL="1")
        (bench.folder / "bert").mkdir()
        bench.write("bert/config.json", "{}")
        bench.write("train.json", "{}")
        bench.write("a.yaml", "data: {reader: squad, train: train.json}\nbackbone: {source: ./bert}\n")
        return bench

    return make


TRAIN = ("kaggle", "train", "a.yaml", "-o", "runs/a", "--session-hours", "1")


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True], ids=["", "when an answer is lost"])
def test_killed_after_every_write_to_the_disk(lost: bool, begun: Callable[[KaggleServer], Bench]) -> None:
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


def test_ctrl_c_leaves_the_session_running_and_says_so(
    server: KaggleServer, begun: Callable[[KaggleServer], Bench]
) -> None:
    server.state.notebooks.run = lambda notebooks, kernel: None
    bench = begun(server)
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
    server: KaggleServer, begun: Callable[[KaggleServer], Bench]
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


def test_a_colab_notebook_goes_on_with_the_run_in_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was disconnected, the run is as it was left."""
    begun: list[str] = []
    monkeypatch.setattr(
        there, "_trained", lambda run, until, **_: begun.append((run / "recipe.yaml").read_text()) or {}
    )
    order = {"name": "a", "session": None, "follows": None, "texts": {"recipe.yaml": "x"}, "data": None}
    order |= {"competitions": {}, "there": str(tmp_path / "there"), "seconds": None, "internet": True}
    for text in ("x", "as it was left"):
        there.train(order, inputs=tmp_path, output=tmp_path / "runs", began=0.0, say=lambda _: None)
        assert begun[-1] == text
        (tmp_path / "runs" / "a" / "recipe.yaml").write_text("as it was left")


@pytest.mark.slow
def test_a_colab_notebook_trains(
    tiny_backbone: Path, server: KaggleServer, make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench(server, THERE=str(tmp_path / "tmp"))
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


@given(st.text(max_size=60))
def test_any_run_gives_a_name_that_kaggle_takes(run: str) -> None:
    name = kernel_name(run, "0123456789")
    assert 5 <= len(name) <= 50
    assert name == "-".join(name.split("-")) and "--" not in name and name.isascii() and name == name.lower()


# --------------------------------------------------------------------------------------------------------------- whole
@pytest.fixture(scope="module")
def sessions(
    tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory, processes: Processes
) -> Iterator[tuple[Bench, KaggleState, str]]:
    """A training in two sessions whose notebooks are executed, with the data of a competition, and one here."""
    folder = tmp_path_factory.mktemp("sessions")
    cup = question_cup(paragraphs=1)
    state = KaggleState(cup)
    state.notebooks.run = Executed(folder / "there", {"qa-cup": cup.files}, 1)
    with KaggleServer(state) as server:
        bench = Bench(folder, server, processes, QAKIT_CACHE=str(folder / "cache"), THERE=str(folder / "tmp"))
        bench.write("cup.yaml", RECIPE.format(source=tiny_backbone, epochs=1))
        assert bench.run("kaggle", "download", "-c", "qa-cup", "-o", "data").code == 0
        done = bench.start("kaggle", "train", "cup.yaml", "-o", "runs/cup", "--set", "predict.n_best=3").wait(500)
        assert done.code == 0, done.text
        local = bench.start("train", "cup.yaml", "-o", "here/cup", "--set", "predict.n_best=3", "-q").wait(300)
        assert local.code == 0, local.text
        yield bench, state, done.text


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


@pytest.mark.slow
def test_a_fetched_run_is_a_run(sessions: tuple[Bench, KaggleState, str]) -> None:
    bench, state, _ = sessions
    assert "cup" in bench.run("runs", "list").out
    assert bench.start("submit", "runs/cup").wait(300).code == 0
    assert len(state.submissions) == 1
    assert bench.start("kaggle", "train", "--resume", "runs/cup").wait(300).code == 0, "nothing is left to do"
    assert len(state.notebooks.kernels) == 2
