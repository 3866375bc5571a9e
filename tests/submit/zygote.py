"""The life of a ``qakit`` process, which can be told to kill itself at a point that no request marks.

As a program it forks such processes; those that train are better forked by one that has imported what trains
(``crew_server.py``). Each has a fresh ``import kaggle``. Used by ``processes.py``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

from bench import ANSWERS, SUBMIT
from fork_server import enter, run_qakit, serve

from qakit.sessions import job as sessions
from qakit.submit.record import _checks


def warm_up() -> None:
    """A submission as far as a Kaggle that cannot be reached: what it imports and builds is there for all jobs."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), Path(os.devnull).open("w") as nowhere:
        for name in ("submission.csv", "sample_submission.csv"):
            Path(name).write_text(ANSWERS, "utf-8")
        os.environ |= {"QAKIT_KAGGLE_ENDPOINT": "http://127.0.0.1:9", "QAKIT_KAGGLE_POLL": "0.01"}
        sys.argv = ["qakit", *SUBMIT]
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            assert run_qakit() == 4
    _checks()


def die() -> None:
    """At once, as in a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_fsync(number: int, *, torn: bool) -> None:
    """Die right after the ``number``-th fsync; torn: instead of it, with only half of the last line on the disk."""
    fsync, left = os.fsync, number

    def counted(descriptor: Any) -> None:
        nonlocal left
        left -= 1
        if left or not torn:
            fsync(descriptor)
        if left:
            return
        handle = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if torn and stat.S_ISREG(os.fstat(handle).st_mode):
            path = Path(f"/proc/self/fd/{handle}").resolve()
            content = path.read_bytes()
            start = content.rstrip(b"\n").rfind(b"\n") + 1
            os.truncate(path, (start + len(content)) // 2)
        die()

    os.fsync = counted


def die_at_line(number: int, folder: str) -> None:
    """Die before the ``number``-th line that runs in ``folder``."""
    left = number

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(folder):
            return None
        if event == "line":
            left -= 1
            if left <= 0:
                die()
        return trace

    sys.settrace(trace)


def made_up_wheel(_recipes: object, folder: Path, _registry: object) -> list[Path]:
    """In the place of one whose making takes seconds."""
    wheel = folder / "qakit-0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    return [wheel]


def work(job: dict[str, Any]) -> int:
    """In the child: the job's whole life; returns the exit code."""
    enter(job)
    if "NO_WHEEL" in os.environ:
        sessions.make_wheels = made_up_wheel
    sessions.THERE = os.environ.get("THERE", sessions.THERE)  # tests run side by side on one machine
    if "fsync" in job:
        die_at_fsync(job["fsync"], torn=job["torn"])
    if "line" in job:
        die_at_line(job["line"], job["folder"])
    return run_qakit()


if __name__ == "__main__":
    warm_up()
    for name in [name for name in sys.modules if name.partition(".")[0] == "kaggle"]:
        del sys.modules[name]  # importing it has effects, which every process shall see
    serve(work)
