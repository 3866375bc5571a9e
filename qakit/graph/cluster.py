"""Nodes on a Ray cluster: each is a task of Ray's, which finds a machine for it, and another one if that is lost.

The machines share the folder of the graph. Ray knows nothing of checkpoints: a task that begins anew on another machine
is ``qakit train --resume``, as everywhere.
"""

from __future__ import annotations

import ctypes
import platform
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RunError
from qakit.graph.execute import Ended, Job
from qakit.graph.nodes import Node
from qakit.graph.processes import LOG, Command, Watched, limit, outcome, start_logged, train_command
from qakit.ray_cluster import Room, connect, room_of, what_went_wrong
from qakit.runs import Run
from qakit.system import environment_of_children
from qakit.training.events import Listener
from qakit.training.interrupts import InterruptedTrainingError

RETRIES = 3
"""How often a task begins anew whose machine is lost."""
POLL = 0.2
"""Seconds between looks at a process: Ray's request to stop is heard between them, not in a long wait."""


@dataclass(slots=True)
class Cluster:
    """A task for each node; :func:`on_cluster` makes one."""

    ray: Any
    room: Room
    limit: int | None = None
    """At most so many at a time."""
    command: Command = train_command

    @property
    def capacity(self) -> int:
        """How many at a time: the cluster may grow and shrink."""
        there = self.room.places(self.ray)
        return there if self.limit is None else min(there, self.limit)

    def start(self, node: Node, folder: Path, listener: Listener) -> Job:
        """Hand the node to Ray."""
        run = Run((folder / node.label).absolute())
        log = run.folder / LOG
        offset = log.stat().st_size if log.is_file() else 0
        task = self.ray.remote(max_retries=RETRIES, **self.room.of_one)(work)
        future = task.remote([*self.command(run.folder), *limit(node)], str(log), str(Path.cwd()), self.room.threads)

        def look() -> Ended | None:
            if not self.ray.wait([future], timeout=0)[0]:
                return None
            try:
                code = self.ray.get(future)
            except self.ray.exceptions.TaskCancelledError:  # before it began
                return Ended(InterruptedTrainingError(signal.SIGTERM))
            except self.ray.exceptions.RayError as error:
                return Ended(None if run.finished else RunError(f"{run.folder}: {what_went_wrong(error)}"))
            return Ended(RunError(code)) if isinstance(code, str) else outcome(run, code, offset)

        def ask(_: int) -> None:  # Ray has one way to ask
            self.ray.cancel(future, force=False)

        return Watched(node.label, run, listener, look, ask)


def on_cluster(jobs: int | None, *, command: Command = train_command) -> Cluster:
    """The cluster's room for trainings: a GPU for each where it has some, else one core.

    Args:
        jobs: at most so many at a time.
        command: what does the work in a run folder.

    Raises:
        UsageError: Ray is not installed.
        RunError: there is no cluster where ``RAY_ADDRESS`` says.
    """
    ray = connect()
    return Cluster(ray, room_of(ray), jobs, command)


def work(command: Sequence[str], log: str, folder: str, threads: int | None) -> int | str:
    """What runs on a machine of the cluster: the command, until it ends or the task is cancelled.

    Args:
        log: the file for what it says; its folder must be there.
        folder: where the command line would run it, if this machine has such a folder.
        threads: of a CPU; None leaves them to PyTorch, whatever Ray has set.

    Returns:
        Its exit code, 128 + signal where it ended with a checkpoint; or why it was not begun.
    """
    if not Path(log).parent.is_dir():
        return (
            f"{platform.node()} does not see {Path(log).parent}: the machines of the cluster need it on a file system "
            "that they share"
        )
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Ray was started in the background, and cancels by it
    environment = {name: value for name, value in environment_of_children().items() if name != "OMP_NUM_THREADS"}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    arguments = [sys.executable, *command[1:]]  # the interpreter of this machine
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def end_with_parent() -> None:
        """Where the worker is killed, the training gets SIGTERM: it writes a checkpoint, and the GPU is free for
        whoever continues. Linux alone knows this. A worker that Ray ends (a lost driver) kills it itself."""
        if libc is not None:
            libc.prctl(1, signal.SIGTERM)

    process, _ = start_logged(
        arguments,
        Path(log),
        environment=environment,
        note=f"  # on {platform.node()}",
        cwd=folder if Path(folder).is_dir() else None,
        preexec_fn=end_with_parent,
    )
    while True:
        try:
            while process.poll() is None:
                time.sleep(POLL)
            return process.returncode
        except KeyboardInterrupt:  # how Ray cancels
            process.terminate()
