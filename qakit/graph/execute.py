"""Carry out a graph: whatever is ready goes where there is room, until nothing is left.

Each node's folder says whether it is finished, and its lock whether somebody is at work there. So a graph that was
interrupted continues where it stopped, and several commands, also on machines with a common folder, share the work.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from qakit.distributed import ALONE, Workers
from qakit.errors import QakitError, RunError
from qakit.graph.nodes import Graph, Join, Joined, Node, Repredict, Train
from qakit.graph.training import perform
from qakit.names import few
from qakit.registry import Registry
from qakit.runs import BusyError, Run, is_at_work, state_of, tidy_finished
from qakit.training.events import Listener, NodeEnded, NodeStarted, NodesWaiting, Remark
from qakit.training.interrupts import InterruptedTrainingError, StopRequest

TRAINING = 0.98
"""Share of the time that is left for the trainings; the rest is for what is made of them."""
POLL = 0.2
"""Seconds between looks at what runs elsewhere."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the work on a node ended."""

    error: QakitError | None = None
    """None: the node is finished."""
    joined: Joined = field(default_factory=Joined)


class Job(Protocol):
    """Work on a node that was started."""

    def ended(self) -> Ended | None:
        """How it ended; None while it runs."""
        ...

    def stop(self, signal: int) -> None:
        """Ask it to stop; a training writes a checkpoint before."""
        ...


class Executor(Protocol):
    """Where nodes are worked on."""

    @property
    def capacity(self) -> int:
        """How many at a time."""
        ...

    def start(self, node: Node, folder: Path, listener: Listener) -> Job:
        """Begin the work on a node below the graph's ``folder``: its own is there, and its needs are finished."""
        ...


@dataclass(slots=True)
class Here:
    """In this process, one after the other."""

    registry: Registry
    workers: Workers = ALONE
    """The processes that a launcher has started: they train together, one training after the other."""
    capacity: int = 1

    def start(self, node: Node, folder: Path, listener: Listener) -> Job:
        """Do it; what it raises but for errors of qakit's own is raised."""
        try:
            return Done(Ended(joined=perform(node, folder, self.registry, listener, workers=self.workers)))
        except InterruptedTrainingError:
            raise
        except QakitError as error:
            return Done(Ended(error))


@dataclass(frozen=True, slots=True)
class Done:
    """Work that had ended when it was started."""

    how: Ended

    def ended(self) -> Ended:
        return self.how

    def stop(self, signal: int) -> None:
        """There is nothing to stop."""


@dataclass(slots=True)
class Execution:
    """One graph that is carried out in a folder. Make one, call :meth:`run` once."""

    graph: Graph
    folder: Path
    executor: Executor
    listener: Listener
    keep_going: bool = False
    """Whether the nodes that need nothing of a failed one continue."""
    retry_failed: bool = True
    """Whether nodes that have failed before are tried again."""
    stop: StopRequest = field(default_factory=StopRequest)
    poll: float = POLL
    workers: Workers = ALONE
    """The processes that do all of this together, each with the same graph; the first one chooses."""
    deadline: float | None = None
    """When all should be done, by ``time.monotonic``: the time is dealt out to the trainings; None: there is time."""
    more: Callable[[], Sequence[Node]] = tuple
    """Gives further nodes when there is room, and none when there are no more."""
    to_come: Callable[[], int] = lambda: 0
    """About how many trainings these are."""
    ended: Callable[[Node, Ended], object] = lambda *_: None
    """Called for each node that was worked on."""
    failures: dict[str, QakitError] = field(default_factory=dict)
    """Why nodes have failed, by label."""
    joined: Joined = field(default_factory=Joined)
    """What the root shows."""
    _jobs: dict[str, tuple[Node, Job, float]] = field(default_factory=dict)
    _waited_for: tuple[str, ...] = ()

    def run(self) -> None:
        """Work until nothing is left to do, here or elsewhere.

        Raises:
            QakitError: of the first node that fails, unless the others are to continue.
            InterruptedTrainingError: it was asked to stop.
        """
        self._tell_shares()
        if self.workers.first:
            for node in self.graph.nodes:
                tidy_finished(Run(self.folder / node.label))
        try:
            while True:
                if self.stop.signal:
                    raise InterruptedTrainingError(self.stop.signal)
                if not self._advance():
                    break
        except BaseException:
            self._stop_all()
            raise
        left = [node.label or "." for node in self.graph.nodes if not Run(self.folder / node.label).finished]
        if left and not self.failures and self.workers.first:
            raise RunError(f"{self.folder} is damaged: {few(left)} cannot begin, as each waits for another")

    @property
    def is_busy(self) -> bool:
        return bool(self._jobs)

    def cancel(self, label: str, signal: int) -> None:
        """Ask the work on one node to stop."""
        if label in self._jobs:
            self._jobs[label][1].stop(signal)

    def _advance(self) -> bool:
        """One look around; False when all is done."""
        for label in list(self._jobs):
            self._look_at(label)
        elsewhere: list[str] = []
        while len(self._jobs) < self.executor.capacity:
            chosen, elsewhere = self.workers.from_first(self._next() if self.workers.first else (None, []))
            if chosen is None:
                further = self.workers.from_first(self.more() if self.workers.first else ())
                if not further:
                    break
                self.graph = Graph(self.graph.name, (*self.graph.nodes, *further))
                continue
            self._start(self.graph.node(chosen))
            self._look_at(chosen)
            if self.stop.signal:
                return True
        if self._jobs:
            time.sleep(self.poll)
            return True
        if elsewhere and tuple(elsewhere) != self._waited_for:
            self._waited_for = tuple(elsewhere)
            self.listener(NodesWaiting(self._waited_for))
        if elsewhere:
            time.sleep(self.poll)
        return bool(elsewhere)

    def _next(self) -> tuple[str | None, list[str]]:
        """The first node that can be begun; and those that other processes are at work on."""
        elsewhere: list[str] = []
        blocked = set(self.failures)
        for node in self.graph.nodes:
            if node.label in self._jobs or node.label in self.failures:
                continue
            run = Run(self.folder / node.label)
            if run.finished:
                continue
            needs = self.graph.needs(node)
            if blocked.intersection(needs):
                blocked.add(node.label)
                continue
            if not all(Run(self.folder / label).finished for label in needs):
                continue
            if not self.retry_failed and (state := state_of(run)).name == "failed":
                self.failures[node.label] = QakitError(state.reason or "it has failed before")
                blocked.add(node.label)
                continue
            if is_at_work(run):
                elsewhere.append(node.label)
                continue
            return node.label, elsewhere
        return None, elsewhere

    def _start(self, node: Node) -> None:
        done = sum(Run(self.folder / each.label).finished for each in self.graph.nodes)
        self.listener(
            NodeStarted(
                node.label,
                self.folder / node.label,
                done + len(self._jobs) + 1,
                len(self.graph.nodes),
                what(node),
            )
        )
        if self.deadline is not None and isinstance(node.work, Train):
            node = replace(node, work=replace(node.work, seconds=self.workers.from_first(self._share())))
        began = time.monotonic()
        self._jobs[node.label] = (node, self.executor.start(node, self.folder, self.listener), began)

    def _share(self) -> float:
        """The seconds of the training that begins next: those that are left, shared among all that are still to do."""
        assert self.deadline is not None
        rounds = max(1, math.ceil(self._to_train() / max(1, self.executor.capacity)))
        return max(1.0, TRAINING * (self.deadline - time.monotonic()) / rounds)

    def _to_train(self) -> int:
        """How many trainings are not done."""
        nodes = [node for node in self.graph.nodes if isinstance(node.work, Train) and node.label not in self.failures]
        return sum(not Run(self.folder / node.label).finished for node in nodes) + self.to_come()

    def _tell_shares(self) -> None:
        if self.deadline is not None and self.workers.first and (count := self._to_train()) > 1:
            hours, each = (self.deadline - time.monotonic()) / 3600, self._share() / 3600
            self.listener(Remark(f"{count} trainings share {hours:.3g} h: about {each:.3g} h for each"))

    def _look_at(self, label: str) -> None:
        """Note how the work on a node has ended, if it has."""
        node, job, began = self._jobs[label]
        how = job.ended()
        if how is None:
            return
        del self._jobs[label]
        if isinstance(how.error, BusyError):
            return  # somebody else was faster
        error = None if how.error is None else str(how.error)
        self.listener(NodeEnded(label, error, round(time.monotonic() - began, 1)))
        if self.workers.first:
            self.ended(node, how)
        if how.error is None:
            if not node.label:
                self.joined = how.joined
            return
        self.failures[label] = how.error
        if not self.keep_going:
            raise how.error

    def _stop_all(self) -> None:
        """Ask what runs to stop, and wait until it has written its checkpoints."""
        from signal import SIGTERM

        for _, job, _ in self._jobs.values():
            job.stop(self.stop.signal or SIGTERM)
        while any(job.ended() is None for _, job, _ in self._jobs.values()):
            time.sleep(self.poll)


def what(node: Node) -> str:
    """A node's work in a few words."""
    if isinstance(node.work, Repredict):
        return f"the weights of {node.work.source}"
    return "joining" if isinstance(node.work, Join) else "training"
