"""Real ``qakit`` processes in which something goes wrong; quick, being forked from one that has imported torch."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fork_client import Forked, ForkServer

LIFE = Path(__file__).with_name("training_life.py")


@dataclass(frozen=True)
class Ended:
    """How a process ended; ``code`` -9: killed."""

    code: int
    out: str
    err: str


class Output:
    """What a process says. Not files: a limit on the size of files shall not silence it."""

    def __init__(self, folder: Path, number: int) -> None:
        self.out, self.err = folder / f"{number}.out", folder / f"{number}.err"
        self.ends = []
        for path in (self.out, self.err):
            os.mkfifo(path)
            self.ends.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))

    def read(self) -> tuple[str, str]:
        """All of it, once the process has ended."""
        said = []
        for end, path in zip(self.ends, (self.out, self.err), strict=True):
            with os.fdopen(end, "rb") as file:
                said.append((file.read() or b"").decode("utf-8"))
            path.unlink()
        return said[0], said[1]


@dataclass(frozen=True)
class Running:
    """A process that may still run."""

    process: Forked
    output: Output

    def wait(self, timeout: float = 120) -> Ended:
        """Its end."""
        return Ended(self.process.code(timeout), *self.output.read())

    def kill(self) -> Ended:
        """SIGKILL, if it still runs."""
        self.process.signal()
        return self.wait()


class Trainings:
    """Starts processes.

    Args:
        folder: an empty one, for what they say, and their home.
        server: what forks them, ``Crew.server``.
    """

    def __init__(self, folder: Path, server: ForkServer) -> None:
        self.folder, self.server, self.numbers = folder, server, itertools.count()
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV") if name in os.environ}
        self.environment = {
            **kept,
            "HOME": str(folder),
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "1000",
        }

    def start(self, *arguments: object, cwd: Path, cache: Path, **mishap: Any) -> Running:
        """Start ``qakit ARGUMENTS``; ``mishap`` says what goes wrong and when (see ``training_life.work``)."""
        output = Output(self.folder, next(self.numbers))
        environment = self.environment | {"QAKIT_CACHE": str(cache)}
        process = self.server.start(
            *arguments, env=environment, cwd=cwd, out=output.out, err=output.err, program=str(LIFE), **mishap
        )
        return Running(process, output)

    def run(self, *arguments: object, cwd: Path, cache: Path, **mishap: Any) -> Ended:
        """Start and wait."""
        return self.start(*arguments, cwd=cwd, cache=cache, **mishap).wait()
