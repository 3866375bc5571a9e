"""Functions called in other processes: what is heard of them, how they fail and how they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import called_elsewhere
import pytest

from qakit import hub
from qakit.devices import slots
from qakit.distributed import AbandonedError
from qakit.errors import DataError, HubError, QakitError, RecipeError, RunError, UsageError
from qakit.recipe.issues import Issue
from qakit.training import subprocesses
from qakit.training.events import Event, Notice, silence
from qakit.training.interrupts import InterruptedTrainingError, StopRequest, TerminationError
from qakit.training.subprocesses import RemoteTraceback, _Crew, call_on, error_from, error_message, plain

pytestmark = pytest.mark.usefixtures("forked_python")
ODD = "a\n\u2028\udcff 中"


def call(function: Any, processes: int = 1, listener: Any = silence, request: Any = None, **arguments: Any) -> Any:
    return call_on(slots(f"cpu:{processes}"), function, arguments, listener=listener, request=request)


@pytest.mark.parametrize(
    "error",
    [
        DataError(["one", "two"], path=Path("a.json"), row="record 3", field="x"),
        RecipeError([Issue("r.yaml", 1, 2, "train", "is odd", snippet="train: 1")]),
        HubError("not there", unreachable=True),
        InterruptedTrainingError(signal.SIGTERM, step=3),
        UsageError(ODD),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_the_same(error: QakitError) -> None:
    import json

    error.add_note("a note")
    back = error_from(json.loads(json.dumps(error_message(error), default=plain)))
    assert type(back) is type(error)
    assert isinstance(back, QakitError)
    assert (str(back), back.exit_code, back.__notes__) == (str(error), error.exit_code, ["a note"])
    assert {key: str(value) for key, value in vars(back).items()} == {k: str(v) for k, v in vars(error).items()}


def test_an_error_of_an_unknown_kind_is_its_nearest_known_one() -> None:
    message = error_message(DataError("odd")) | {"kinds": ["OurError", "ModelError", "QakitError", "Exception"]}
    assert type(error_from(message)).__name__ == "ModelError"


def test_what_happens_there_is_heard_here(
    forked_python: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "executable", forked_python)  # as for users, once
    heard: list[Event] = []
    files: list[hub.Progress] = []
    with caplog.at_level("WARNING", "qakit"), hub.reporting(files.append):
        result = call(called_elsewhere.speak, listener=heard.append, path=ODD, number=0.1)
    assert result == {"path": ODD, "number": 0.1, "threads": os.environ.get("OMP_NUM_THREADS")}
    assert heard == [Notice(ODD)]
    assert files == [hub.Progress("a file", 1, 2)]
    assert [record.name for record in caplog.records] == ["qakit.somewhere"]
    assert "careful" in caplog.messages[0]
    assert capfd.readouterr().out == ""


def test_what_fails_there_is_raised_here() -> None:
    with pytest.raises(DataError) as data:
        call(called_elsewhere.fail, how="data")
    assert data.value.problems == ("one", "two")
    with pytest.raises(UsageError, match="/full/file: No space left"):
        call(called_elsewhere.fail, how="disk")
    with pytest.raises(RuntimeError, match="IndexError: off by one") as bug:
        call(called_elsewhere.fail, how="bug")
    assert isinstance(bug.value.__cause__, RemoteTraceback)
    assert "called_elsewhere.py" in str(bug.value.__cause__)
    with pytest.raises(RunError, match=r"ended by SIGKILL .*--resume"):
        call(called_elsewhere.fail, how="killed")


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminationError)])
def test_a_request_to_stop_is_passed_on(number: int, raised: type[BaseException], tmp_path: Path) -> None:
    request = StopRequest()

    def stop(event: Event) -> None:
        request.signal = number

    with pytest.raises(raised):
        call(called_elsewhere.wait, listener=stop, request=request, file=str(tmp_path / "pid"))
    assert ended(tmp_path / "pid")


def test_ctrl_c_in_the_main_thread_is_passed_on_and_the_handlers_come_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        call(
            called_elsewhere.wait,
            listener=lambda event: signal.raise_signal(signal.SIGINT),
            file=str(tmp_path / "pid"),
        )
    assert signal.getsignal(signal.SIGINT) is before
    assert ended(tmp_path / "pid")


def test_a_listener_that_raises_leaves_no_process_behind(tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        wait_for(tmp_path / "pid")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        call(called_elsewhere.wait, listener=broken, file=str(tmp_path / "pid"))
    assert ended(tmp_path / "pid")


def test_a_killed_parent_is_followed_by_its_children(tmp_path: Path) -> None:
    program = (
        "import called_elsewhere, sys\nfrom qakit.devices import slots\n"
        "from qakit.training.subprocesses import call_on\n"
        "call_on(slots('cpu:1'), called_elsewhere.wait, {'file': sys.argv[1]}, listener=print)"
    )
    path = os.pathsep.join([str(Path(called_elsewhere.__file__).parent), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "pid")], env={**os.environ, "PYTHONPATH": path}
    )
    wait_for(tmp_path / "pid")
    parent.kill()
    parent.wait()
    assert ended(tmp_path / "pid")


@pytest.mark.slow
def test_several_processes_meet_and_meet_again() -> None:
    found = call(called_elsewhere.meet_again, 2)
    assert len(found) == 3
    assert len(set(map(tuple, found))) == 1
    assert len(set(found[0])) == 2


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("how", ["told", "lost"])
def test_one_of_several_fails_and_its_error_is_raised(rank: int, how: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"^b\.json: this one is wrong$"):
        call(called_elsewhere.one_fails, 2, rank=rank, how=how)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_who_waits_for_ever_for_a_failed_one_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(subprocesses, "GRACE", 0.5)
    began = time.monotonic()
    threading.Timer(5, lambda: os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)).start()
    with pytest.raises(RunError, match="SIGKILL"):
        call(called_elsewhere.wait, 2, file=str(tmp_path / "pid"))
    assert time.monotonic() - began < 60


def wait_for(file: Path) -> None:
    until = time.monotonic() + 60
    while not (file.is_file() and file.read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)


def ended(file: Path) -> bool:
    """Whether the process whose number the file holds is gone, at once or soon; it never ended if there is no file."""
    if not file.is_file():
        return True
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            os.kill(int(file.read_text()), 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


# --------------------------------------------------------------------------- when the others are ended


@dataclass
class Child:
    """A process whose end is told as soon as it is killed."""

    crew: Any
    returncode: int = 0
    killed: bool = False

    def kill(self) -> None:
        if not self.killed:
            self.crew.heard.put((self.crew.children.index(self), None))
        self.killed = True


class Patience:
    """A request that never comes; whoever looks for it too often hangs."""

    looked = 0

    @property
    def signal(self) -> int:
        self.looked += 1
        assert self.looked < 100
        return 0


def crew_of(*codes: int) -> Any:
    crew: Any = _Crew(Patience(), silence)  # type: ignore[arg-type]
    crew.children.extend(Child(crew, code) for code in codes)
    return crew


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocesses, "GRACE", 0.0)
    monkeypatch.setattr(subprocesses, "POLL", 0.001)


@pytest.mark.usefixtures("hurried")
def test_who_ended_well_ends_nobody() -> None:
    crew = crew_of(0, 0)
    threading.Timer(0.05, crew.heard.put, [(1, None)]).start()
    crew.heard.put((0, None))
    crew.hear()
    assert not any(child.killed for child in crew.children)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("message", [{"result": 3}, {"error": "E"}, None])
def test_once_there_is_a_result_or_an_error_the_rest_is_ended(message: Any) -> None:
    crew = crew_of(1 if message is None else 0, 0)
    crew.heard.put((0, message))
    crew.hear()
    assert crew.children[1].killed


def test_of_several_errors_the_first_that_says_something_is_raised() -> None:
    crew = crew_of(1, 1)
    crew.failed = [error_message(AbandonedError("another process")), error_message(DataError("the reason"))]
    with pytest.raises(DataError, match="the reason"):
        crew.outcome()
