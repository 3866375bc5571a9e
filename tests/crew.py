"""Several real processes of one ``qakit`` command.

As `torchrun` does, this keeps the store at which they meet and tells each its rank; but it leaves the others alone when
one of them fails.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fork_client import Forked, ForkServer
from torch.distributed import TCPStore

PATIENCE = 300.0
"""Seconds after which a command counts as stuck."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: by process, its exit code, what it printed, and what it wrote to."""

    codes: list[int]
    out: list[str]
    err: list[str]
    writes: list[list[str]]

    @property
    def said(self) -> str:
        """Everything that they wrote to stderr, for a failed test's message: pytest cuts a list short, but no text."""
        return "".join(f"\nprocess {rank} ended with {code}:\n{self.err[rank]}" for rank, code in enumerate(self.codes))

    @property
    def told(self) -> list[str]:
        """The error messages of all processes."""
        return [line for text in self.err for line in text.splitlines() if line.startswith("error: ")]


@dataclass(frozen=True)
class Running:
    """A command that may still run."""

    processes: list[Forked]
    folder: Path
    store: TCPStore
    """Lives as long as it is held."""

    def signal(self, number: int, *ranks: int) -> None:
        """Send a signal to these processes, by default to all."""
        for rank in ranks or range(len(self.processes)):
            self.processes[rank].signal(number)

    def ended(self) -> Ended:
        """Wait until all processes have ended; one that hangs is killed and shows as -9."""
        until = time.monotonic() + PATIENCE
        codes = []
        for process in self.processes:
            try:
                codes.append(process.code(max(0.0, until - time.monotonic())))
            except TimeoutError:
                self.signal(9)
                codes.append(process.code(30))

        def texts(kind: str) -> list[str]:
            return [(self.folder / f"{rank}.{kind}").read_text("utf-8") for rank in range(len(codes))]

        return Ended(codes, texts("out"), texts("err"), [text.splitlines() for text in texts("writes")])


class Crew:
    """Starts commands, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.server = ForkServer(Path(__file__).with_name("crew_server.py"), self.environment)

    def start(
        self,
        size: int,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        own_environment: Mapping[int, Mapping[str, str]] | None = None,
        launcher: bool = True,
    ) -> Running:
        """Start ``qakit`` in this many processes; ``environment`` is for all of them, ``own_environment`` by rank.

        Without ``launcher`` nobody tells them of each other.
        """
        self.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir()
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        common = {**self.environment, "QAKIT_CACHE": os.environ["QAKIT_CACHE"], **(environment or {})}
        told = {
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }

        def of_rank(rank: int) -> dict[str, str]:
            launched = told | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if launcher else {}
            return common | launched | {**(own_environment or {}).get(rank, {})}

        processes = [
            self.server.start(
                *arguments,
                env=of_rank(rank),
                cwd=Path.cwd(),
                out=folder / f"{rank}.out",
                err=folder / f"{rank}.err",
                writes=str(folder / f"{rank}.writes"),
            )
            for rank in range(size)
        ]
        return Running(processes, folder, store)

    def run(self, size: int, *arguments: object, **options: Any) -> Ended:
        """Run ``qakit`` to its end."""
        return self.start(size, *arguments, **options).ended()

    def close(self) -> None:
        """No more commands."""
        self.server.close()
