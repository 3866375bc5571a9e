"""Real ``qakit`` processes for tests, quick because they are forked from one that has imported everything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import isolated
from fork_client import Forked, ForkServer

LIFE = Path(__file__).with_name("zygote.py")


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
    """Starts processes.

    Args:
        folder: an empty one, for what they say.
        server: what forks them: ``Crew.server``, or that of :func:`light_processes`.
    """

    def __init__(self, folder: Path, server: ForkServer) -> None:
        self.folder, self.server, self.numbers = folder, server, itertools.count()

    def start(self, *arguments: object, env: dict[str, str], cwd: Path, **death: Any) -> Running:
        """Start ``qakit ARGUMENTS``; ``death`` says where it kills itself (see ``zygote.py``)."""
        number = next(self.numbers)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        life = {"program": str(LIFE), **death}
        return Running(self.server.start(*arguments, env=env, cwd=cwd, out=out, err=err, **life), out, err)

    def run(self, *arguments: object, env: dict[str, str], cwd: Path, **death: Any) -> Done:
        """Start and wait."""
        return self.start(*arguments, env=env, cwd=cwd, **death).wait()


@contextmanager
def light_processes(folder: Path) -> Iterator[Processes]:
    """For commands that need no model: their server has imported nothing that takes long, and forks quickly."""
    server = ForkServer(LIFE, isolated(folder / "home"))
    try:
        yield Processes(folder, server)
    finally:
        server.close()
