"""Nodes on a Ray cluster: each is a task of Ray's, which finds a machine for it, and another one if that is lost.

The machines share the folder of the graph. Ray knows nothing of checkpoints: a task that begins anew on another machine
is ``qakit train --resume``, as everywhere.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RunError, UsageError
from qakit.graph.execute import Ended, Job
from qakit.graph.nodes import Node
from qakit.graph.processes import LOG, Command, outcome, report_progress, train_command
from qakit.runs import Run
from qakit.training.events import Listener
from qakit.training.interrupts import InterruptedTrainingError

RETRIES = 3
"""How often a task begins anew whose machine is lost."""


def import_ray() -> Any:
    """Ray.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'qakit[ray]'") from None
    return ray


def connect() -> Any:
    """Ray, connected to the cluster that ``RAY_ADDRESS`` names; without it Ray starts one on this machine.

    Raises:
        UsageError: Ray is not installed.
        RunError: there is no such cluster.
    """
    ray = import_ray()
    if not ray.is_initialized():
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise RunError(f"Ray: {str(error).partition(chr(10))[0]}") from error
    return ray


@dataclass(slots=True)
class Cluster:
    """A task for each node; :func:`on_cluster` makes one."""

    ray: Any
    resources: dict[str, float]
    """What a task takes: a GPU where the cluster has some, else cores."""
    limit: int | None = None
    """At most so many at a time."""
    command: Command = train_command

    @property
    def capacity(self) -> int:
        """How many at a time: the cluster may grow and shrink."""
        there = self.ray.cluster_resources()
        key, label = ("num_gpus", "GPU") if "num_gpus" in self.resources else ("num_cpus", "CPU")
        room = max(1, int(there.get(label, 0) // self.resources[key]))
        return room if self.limit is None else min(room, self.limit)

    def start(self, node: Node, folder: Path, listener: Listener) -> Job:
        """Hand the node to Ray."""
        run = Run((folder / node.label).absolute())
        log = run.folder / LOG
        offset = log.stat().st_size if log.is_file() else 0
        task = self.ray.remote(max_retries=RETRIES, **self.resources)(work)
        threads = None if "num_gpus" in self.resources else int(self.resources["num_cpus"])
        future = task.remote(list(self.command(run.folder)), str(log), threads)
        return ClusterJob(node.label, run, self.ray, future, offset, listener)


@dataclass(slots=True)
class ClusterJob:
    """A node's task."""

    label: str
    run: Run
    ray: Any
    future: Any
    log_offset: int
    listener: Listener
    _how: Ended | None = None

    def ended(self) -> Ended | None:
        """How it ended; None while it waits or runs."""
        if self._how is not None:
            return self._how
        ready, _ = self.ray.wait([self.future], timeout=0)
        if not ready:
            report_progress(self.label, self.run, self.listener)
            return None
        try:
            self._how = outcome(self.run, int(self.ray.get(self.future)), self.log_offset)
        except self.ray.exceptions.TaskCancelledError:
            self._how = Ended(InterruptedTrainingError(signal.SIGTERM))
        except self.ray.exceptions.RayError as error:
            what = str(error).strip().partition("\n")[0]
            self._how = Ended(None if self.run.finished else RunError(f"{self.run.folder}: Ray: {what}"))
        return self._how

    def stop(self, signal: int) -> None:  # noqa: ARG002
        """Cancel it: a training writes a checkpoint."""
        self.ray.cancel(self.future, force=False)


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
    has_gpus = ray.cluster_resources().get("GPU", 0) >= 1
    return Cluster(ray, {"num_gpus": 1.0} if has_gpus else {"num_cpus": 1.0}, jobs, command)


def work(command: Sequence[str], log: str, threads: int | None) -> int:
    """What runs on a machine of the cluster: the command, until it ends or the task is cancelled.

    Returns:
        Its exit code; 128 + signal where it ended with a checkpoint.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    arguments = [sys.executable, *command[1:]]  # the interpreter of this machine
    with Path(log).open("ab") as file:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        try:
            return process.wait()
        except KeyboardInterrupt:  # how Ray cancels
            process.terminate()
            return process.wait()


def _end_with_parent() -> None:
    """Where the worker is killed, with its driver or with Ray, the training gets SIGTERM: it writes a checkpoint,
    and the GPU is free for whoever goes on. Linux alone knows this."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
