"""Nodes in processes of their own on this machine: each in a slot, a GPU or a share of the cores."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qakit.devices import Slot
from qakit.errors import OutputError, QakitError, RunError
from qakit.files import write_json, writing
from qakit.graph.execute import Ended, Here, Job
from qakit.graph.nodes import Join, Node, Train
from qakit.registry import Registry
from qakit.runs import BusyError, Run
from qakit.system import environment_of_children
from qakit.training.events import Listener, NodeProgress
from qakit.training.interrupts import InterruptedTrainingError

LOG = "train.log"
"""In a node's folder: what its process has said."""
TAIL_LINES = 15
TAIL_CHARACTERS = 4000
LOOK = 2.0
"""Seconds between looks at how far a training is."""

Command = Callable[[Path], Sequence[str]]
"""The command line that does the work in a run folder."""


def train_command(folder: Path) -> list[str]:
    """``qakit train`` on a folder that holds its recipe: from the last checkpoint, or from the beginning."""
    return [sys.executable, "-m", "qakit", "train", "--resume", "--output", str(folder)]


def limit(node: Node) -> list[str]:
    """Options of the command that say how long a node may take."""
    seconds = node.work.seconds if isinstance(node.work, Train) else None
    return [] if seconds is None else ["--max-hours", repr(seconds / 3600)]


@dataclass(slots=True)
class Processes:
    """A process for each node, one in each slot."""

    slots: Sequence[Slot]
    command: Command = train_command
    registry: Registry | None = None
    """With it, what the root joins is joined in this process, which then can show it."""
    _free: list[Slot] = field(init=False)

    def __post_init__(self) -> None:
        self._free = list(self.slots)

    @property
    def capacity(self) -> int:
        """How many at a time."""
        return len(self.slots)

    def start(self, node: Node, folder: Path, listener: Listener) -> Job:
        """Start the process; what it says goes to ``train.log``. Ctrl-C reaches it through this process alone."""
        if self.registry is not None and not node.label and isinstance(node.work, Join):
            return Here(self.registry).start(node, folder, listener)
        run, slot = Run(folder / node.label), self._free.pop(0)
        with writing(run.folder):
            process, offset = start_logged(
                [*self.command(run.folder), *limit(node)],
                run.folder / LOG,
                environment={**environment_of_children(), **slot.environment},
            )

        def look() -> Ended | None:
            if process.poll() is None:
                return None
            self._free.append(slot)
            return outcome(run, process.returncode, offset)

        def ask(signal: int) -> None:
            with suppress(ProcessLookupError):
                process.send_signal(signal)

        return Watched(node.label, run, listener, look, ask)


def start_logged(
    command: Sequence[str], log: Path, *, environment: Mapping[str, str], note: str = "", **options: Any
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process in a session of its own, its output appended to a file; also returns where in it that begins.

    Args:
        note: behind the command line, which comes first in the file.
        options: further ones of ``Popen``.
    """
    with log.open("ab") as file:
        file.write(f"$ {' '.join(command)}{note}\n".encode())
        file.flush()
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            **options,
        )
        return process, file.tell()


@dataclass(slots=True)
class Watched:
    """Work on a node elsewhere, looked at now and then."""

    label: str
    run: Run
    listener: Listener
    look: Callable[[], Ended | None]
    """How it ended; None while it runs. Asked no more once it has ended."""
    ask: Callable[[int], None]
    """Asks it to stop, as by a signal."""
    _looked: float = 0.0
    _how: Ended | None = None

    def ended(self) -> Ended | None:
        """How it ended; None while it runs, and then now and then the listener hears how far it is."""
        self._how = self._how or self.look()
        if self._how is None and time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            report_progress(self.label, self.run, self.listener)
        return self._how

    def stop(self, signal: int) -> None:
        """Ask it to stop: a training writes a checkpoint."""
        self.ask(signal)


def outcome(run: Run, code: int, log_offset: int) -> Ended:
    """What the end of a process means for its node."""
    if code == 0 or run.finished:  # a signal may come when all is done
        return Ended(None if run.finished else QakitError(f"{run.folder}: the process ended, and nothing came of it"))
    stopped = -code if code < 0 else code - 128  # a signal that comes before Python listens ends it at once
    if stopped in _STOPS:
        return Ended(InterruptedTrainingError(stopped))
    if code == BusyError.exit_code:
        return Ended(BusyError(f"another process is at work in {run.folder}"))
    error = what_happened(run.folder, code, log_offset)
    if not run.failure_file.is_file():  # it could not say so itself
        with suppress(OutputError):
            write_json(run.failure_file, {"error": error})
    return Ended(RunError(error))


_STOPS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}


def report_progress(label: str, run: Run, listener: Listener) -> None:
    """How far a training is, as its log tells."""
    with suppress(RunError):  # a line that is being written
        lines = list(run.metrics())
        losses = [line for line in lines if line["type"] == "train"]
        evaluations = tuple(
            {key: value for key, value in line.items() if isinstance(value, float | int)}
            for line in lines
            if line["type"] == "evaluation" and line["step"] > 0
        )
        steps = run.read_json(run.meta_file).get("steps")
        listener(
            NodeProgress(
                label,
                max((line["step"] for line in lines), default=0),
                steps if isinstance(steps, int) else None,
                losses[-1].get("loss") if losses else None,
                evaluations,
            )
        )


def what_happened(folder: Path, code: int, offset: int) -> str:
    """Why a training ended with ``code``: its last error, or the last lines of its log from ``offset`` bytes on."""
    try:
        with (folder / LOG).open("rb") as log:
            log.seek(offset)
            lines = log.read().decode("utf-8", "replace").rstrip().splitlines()
    except OSError:
        lines = []
    errors = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    said = "\n".join(lines[errors[-1] :] if errors else lines[-TAIL_LINES:])[-TAIL_CHARACTERS:]
    return "\n".join(part for part in (said.removeprefix("error: "), _ending(code)) if part)


def _ending(code: int) -> str:
    if code >= 0:
        return f"(exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"(ended by {name}{': often too little memory' if name == 'SIGKILL' else ''})"
