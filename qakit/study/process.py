"""One trial's training: a process of its own, its log, and how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from qakit.files import writing
from qakit.study.claim import Claim

LOG = "study.log"
TAIL_LINES = 15
TAIL_CHARACTERS = 4000

Command = Callable[[Path], Sequence[str]]
"""The command line that trains in a run folder."""


def train_command(folder: Path) -> list[str]:
    """``qakit train`` on a folder that holds its recipe: from the last checkpoint, or from the beginning."""
    return [sys.executable, "-m", "qakit", "train", "--resume", "--output", str(folder)]


def start(folder: Path, command: Command, claim: Claim, *, threads: int | None) -> tuple[subprocess.Popen[bytes], int]:
    """Start a training whose output is appended to the folder's log; also returns where in the log it begins.

    The process has its own group: Ctrl-C reaches it through the study alone, once.
    """
    arguments = list(command(folder))
    environment = dict(os.environ)
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    with writing(folder), (folder / LOG).open("ab") as log:
        log.write(f"$ {' '.join(arguments)}\n".encode())
        log.flush()
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=claim.inherited,
            start_new_session=True,
        )
        return process, log.tell()


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
    return "\n".join(part for part in (said, _ending(code)) if part)


def threads_each(jobs: int) -> int | None:
    """Threads for each of ``jobs`` trainings at once; None for one: it may decide itself."""
    if jobs == 1:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)


def _ending(code: int) -> str:
    if code >= 0:
        return f"(exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"(ended by {name}{': often too little memory' if name == 'SIGKILL' else ''})"
