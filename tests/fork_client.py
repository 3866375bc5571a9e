"""Processes on request, quick because a server that has imported everything slow forks them (``fork_server.py``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

STAND_IN = Path(__file__).with_name("forked_python.py")


class Forked:
    """A process that was asked for."""

    def __init__(self) -> None:
        self._pid: Future[int] = Future()
        self._code: Future[int] = Future()

    def pid(self) -> int:
        """Its number, once it has begun."""
        return self._pid.result(timeout=30)

    def code(self, timeout: float) -> int:
        """How it ended; -9: killed.

        Raises:
            TimeoutError: it has not ended in this many seconds.
        """
        return self._code.result(timeout)

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it still runs."""
        pid = self.pid()
        if not self._code.done():
            os.kill(pid, number)

    def told(self, message: Mapping[str, int]) -> None:
        """What the server says of it."""
        if "pid" in message:
            self._pid.set_result(message["pid"])
        else:
            self._code.set_result(message["code"])


class ForkServer:
    """The server's process: a program that calls ``fork_server.serve``.

    Args:
        program: its file.
        environment: its variables.
        python: another environment's, which has a qakit of its own; by default the one of the tests.
    """

    def __init__(self, program: Path, environment: Mapping[str, str], python: Path | None = None) -> None:
        self.forked: list[Forked] = []
        self.lock = threading.Lock()
        self.folder = tempfile.TemporaryDirectory()  # the path of a socket is short
        self.python = Path(self.folder.name, "python")
        """In Python's place, with the environment that it is given: forked, too (``forked_python.py``)."""
        self.python.write_text(f"#!{sys.executable} -IS\n{STAND_IN.read_text('utf-8')}", "utf-8")
        self.python.chmod(0o755)
        checkout = None if python else os.environ.get("PYTHONPATH")  # one that is not the installed one
        path = (str(Path(__file__).parent), checkout)
        self.process = subprocess.Popen(
            [str(python or sys.executable), str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **environment,
                "PYTHONPATH": os.pathsep.join(filter(None, path)),
                "FORK_SERVER_DOOR": str(self.python.with_name("door")),
            },
            text=True,
        )
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError("the forking process did not start")
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            self.forked[message["number"]].told(message)

    def start(self, *arguments: object, env: Mapping[str, str], cwd: Path, out: Path, err: Path, **more: Any) -> Forked:
        """Start ``qakit ARGUMENTS`` with this whole environment; ``more`` is for the server's program."""
        job = {
            "arguments": [str(argument) for argument in arguments],
            "env": dict(env),
            "cwd": str(cwd),
            "out": str(out),
            "err": str(err),
            **more,
        }
        assert self.process.stdin is not None
        with self.lock:
            forked = Forked()
            self.forked.append(forked)
            self.process.stdin.write(json.dumps(job | {"number": len(self.forked) - 1}) + "\n")
            self.process.stdin.flush()
        return forked

    def close(self) -> None:
        """No more processes."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()
