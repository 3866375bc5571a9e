"""Real ``qakit`` processes for tests, quick because they are forked from one that has imported everything."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Done:
    """How a process ended; ``code`` -9: killed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it said."""
        return self.out + self.err


class Running:
    """A process that may still run."""

    def __init__(self, folder: Path, number: int) -> None:
        self.out, self.err = folder / f"{number}.out", folder / f"{number}.err"
        self.pids: queue.Queue[int] = queue.Queue()
        self.codes: queue.Queue[int] = queue.Queue()

    def wait(self, timeout: float = 60) -> Done:
        """Its end."""
        code = self.codes.get(timeout=timeout)
        return Done(code, self.out.read_text("utf-8"), self.err.read_text("utf-8"))

    def kill(self) -> Done:
        """SIGKILL."""
        os.kill(self.pids.get(timeout=10), signal.SIGKILL)
        return self.wait()


class Processes:
    """Starts processes; ``with`` ends the one that forks them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.running: dict[int, Running] = {}
        self.zygote = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self.zygote.stdout is not None
        if not self.zygote.stdout.readline():
            raise RuntimeError("the forking process did not start")
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.zygote.stdin is not None
        self.zygote.stdin.close()
        self.zygote.wait()

    def _listen(self) -> None:
        assert self.zygote.stdout is not None
        for line in self.zygote.stdout:
            message = json.loads(line)
            running = self.running[message["number"]]
            if "pid" in message:
                running.pids.put(message["pid"])
            else:
                running.codes.put(message["code"])

    def start(self, *arguments: object, env: dict[str, str], cwd: Path, **death: Any) -> Running:
        """Start ``qakit ARGUMENTS``; ``death`` says where it kills itself (see ``zygote.py``)."""
        number = len(self.running)
        running = self.running[number] = Running(self.folder, number)
        job = {
            "number": number,
            "arguments": [str(argument) for argument in arguments],
            "env": env,
            "cwd": str(cwd),
            "out": str(running.out),
            "err": str(running.err),
            **death,
        }
        assert self.zygote.stdin is not None
        self.zygote.stdin.write(json.dumps(job) + "\n")
        self.zygote.stdin.flush()
        return running

    def run(self, *arguments: object, env: dict[str, str], cwd: Path, **death: Any) -> Done:
        """Start and wait."""
        return self.start(*arguments, env=env, cwd=cwd, **death).wait()
