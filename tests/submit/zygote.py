"""A process that has imported everything slow and forks one ``qakit`` process for each job.

Reads jobs from stdin and writes replies to stdout, one JSON object a line. A job's process has its own environment, its
own files for stdout and stderr, and a fresh ``import kaggle``; it can be told to kill itself at a point that no request
marks. Used by ``processes.py``.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import stat
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from qakit.cli import build_app, main

build_app()  # imports the plugins
for name in ("kaggle", "filelock", "qakit.submit.flow", "qakit.submit.client", "qakit.runs"):
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] == "kaggle"]:
    del sys.modules[name]  # importing it has effects, which every process shall see


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


def work(job: dict[str, Any]) -> int:
    """In the child: the job's whole life; returns the exit code."""
    for number, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv = ["qakit", *job["arguments"]]
    if "fsync" in job:
        die_at_fsync(job["fsync"], torn=job["torn"])
    if "line" in job:
        die_at_line(job["line"], job["folder"])
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def serve() -> None:
    """Fork for every job, report every end."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write_end)
    jobs: dict[int, int] = {}
    watch = selectors.DefaultSelector()
    watch.register(sys.stdin.fileno(), selectors.EVENT_READ)
    watch.register(read_end, selectors.EVENT_READ)
    buffer = b""
    answers = os.fdopen(os.dup(1), "w")

    def reply(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    reply(ready=True)
    while True:
        for key, _ in watch.select():
            data = os.read(key.fd, 65536)
            if key.fd == read_end:
                continue
            if not data:
                return
            buffer += data
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            job = json.loads(line)
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answers.close()
                code = work(job)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            jobs[child] = job["number"]
            reply(number=job["number"], pid=child)
        while jobs:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            reply(number=jobs.pop(child), code=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve()
