"""A process that has imported everything slow and forks one ``qakit`` process for each job: the part of the server.

It reads jobs from stdin and writes replies to stdout, one JSON object a line; ``fork_client.py`` is the other end. A
program in a tests' folder imports what its jobs need and calls :func:`serve` with what a job does.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from qakit.cli import main


def serve(work: Callable[[dict[str, Any]], int]) -> None:
    """Fork for every job, report every end, until stdin is closed.

    Args:
        work: in the child: the job's whole life; returns the exit code.
    """
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


def enter(job: dict[str, Any]) -> None:
    """Make this process the one that the job describes: ``arguments``, ``env``, ``cwd``; ``out`` and ``err``, paths."""
    for number, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT), number)
    for number, name in ((1, "stdout"), (2, "stderr")):  # the server's may take them for files that can be sought in
        setattr(sys, name, open(number, "w", buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though `nohup` started the tests
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv = ["qakit", *job["arguments"]]


def run_qakit() -> int:
    """``qakit`` with ``sys.argv``; returns the exit code of a program that ends like this."""
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
