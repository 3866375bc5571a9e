"""Real ``qakit`` processes for tests, quick because they are forked from one that has imported everything."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fork_client import Forked, ForkServer


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


@dataclass(frozen=True)
class Running:
    """A process that may still run."""

    process: Forked
    out: Path
    err: Path

    def wait(self, timeout: float = 60) -> Done:
        """Its end."""
        code = self.process.code(timeout)
        return Done(code, self.out.read_text("utf-8"), self.err.read_text("utf-8"))

    def kill(self) -> Done:
        """SIGKILL."""
        self.process.signal()
        return self.wait()


class Processes:
    """Starts processes; ``with`` ends the one that forks them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.numbers = folder, itertools.count()
        self.server = ForkServer(Path(__file__).with_name("zygote.py"), environment)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()

    def start(self, *arguments: object, env: dict[str, str], cwd: Path, **death: Any) -> Running:
        """Start ``qakit ARGUMENTS``; ``death`` says where it kills itself (see ``zygote.py``)."""
        number = next(self.numbers)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        return Running(self.server.start(*arguments, env=env, cwd=cwd, out=out, err=err, **death), out, err)

    def run(self, *arguments: object, env: dict[str, str], cwd: Path, **death: Any) -> Done:
        """Start and wait."""
        return self.start(*arguments, env=env, cwd=cwd, **death).wait()
