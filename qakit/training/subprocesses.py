"""Functions called in processes of their own, one on each of several devices: what happens there is heard here, what
fails there is raised here, and who asks this process to stop asks them.

Each child is ``python -m qakit.cli.worker``. It reads one line from stdin: what to call; then stdin stays open for as
long as this process lives. On stdout it says what happens, one JSON object a line.
"""

from __future__ import annotations

import json
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from qakit import errors, hub
from qakit.devices import Slot, environment_of
from qakit.distributed import AbandonedError
from qakit.errors import QakitError, RunError
from qakit.recipe.issues import Issue
from qakit.system import environment_of_children
from qakit.training.events import Listener, from_json
from qakit.training.interrupts import (
    StopRequest,
    TerminationError,
    stop_requests,
    stopping,
)

MODULE = "qakit.cli.worker"
POLL = 0.1
"""Seconds after which a request to stop is noticed at the latest."""
GRACE = 30.0
"""Seconds that the others get to end by themselves once one process has failed: they may wait for it for ever."""
LAUNCHERS = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "TORCHELASTIC_USE_AGENT_STORE",
)
"""What a launcher sets, and the children of a process that was launched alone must not take for theirs."""
Message = Mapping[str, Any]


class RemoteTraceback(Exception):  # noqa: N818 - a cause, not an error
    """The traceback of an error in another process, as text."""


def call_on(
    slots: Sequence[Slot],
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    listener: Listener,
    request: StopRequest | None = None,
) -> Any:
    """Call a function once on each slot, each time in a process of its own; several find each other as those of
    ``torchrun`` do (:func:`qakit.distributed.processes_of_this_launch`).

    Args:
        function: of a module; it is called as ``function(listener, **arguments)``.
        arguments: plain values, as JSON knows them.
        listener: hears the events of the first process. Its KeyboardInterrupt is a request to stop.
        request: may be set, from another thread, to a signal that the processes then get. Without it signals to this
            process are passed on, where it may handle them (in the main thread); a second one ends it.

    Returns:
        What the first process's function gave back, as JSON knows it.

    Raises:
        InterruptedTrainingError: it was asked to stop, and has written its checkpoint.
        KeyboardInterrupt: it was asked to stop where there was no checkpoint to be written.
        QakitError: what was raised there; or a process was killed.
        Exception: a bug there, with its traceback as the cause.
    """
    with stop_requests() if request is None else nullcontext(request) as asked:
        crew = _Crew(asked, stopping(listener, asked))
        try:
            crew.start(slots, {"function": f"{function.__module__}:{function.__qualname__}", "arguments": arguments})
            crew.hear()
        finally:
            crew.end()
    return crew.outcome()


@dataclass(slots=True)
class _Crew:
    """The processes of one call."""

    asked: StopRequest
    listener: Listener
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    heard: queue.SimpleQueue[tuple[int, Message | None]] = field(default_factory=queue.SimpleQueue)
    failed: list[Message] = field(default_factory=list)
    """What went wrong, in the order in which it was reported."""
    result: tuple[Any] | None = None
    """What the first process gave back, once it has."""
    passed_on: int = 0
    """The signal that the children have got."""
    store: object = None
    """Where they meet; lives as long as it is held."""

    def start(self, slots: Sequence[Slot], order: Message) -> None:
        common = {**environment_of_children(), **environment_of(slots)}
        for name in LAUNCHERS:  # it is that of a launcher, or of none
            common.pop(name, None)
        if len(slots) > 1:
            common |= self._meeting(len(slots))
        line = json.dumps(order, default=plain).encode() + b"\n"
        for rank in range(len(slots)):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if len(slots) > 1 else {}
            child = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**common, **own},
                start_new_session=True,  # Ctrl-C reaches it through this process alone, once
            )
            self.children.append(child)
            threading.Thread(target=self._read, args=(rank, child), daemon=True).start()
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # a child that is gone already is noticed below
                child.stdin.write(line)
                child.stdin.flush()

    def _meeting(self, size: int) -> dict[str, str]:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public, but not marked as such

        self.store = store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        return {
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",  # so torch calls a store that none of the processes keeps
        }

    def _read(self, rank: int, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            self.heard.put((rank, json.loads(line)))
        child.wait()
        self.heard.put((rank, None))

    def hear(self) -> None:
        """Listen until all have ended."""
        left, until = len(self.children), None
        while left:
            self._pass_on()
            try:
                rank, message = self.heard.get(timeout=POLL)
            except queue.Empty:
                rank, message = -1, {}
            if message is None:
                left -= 1
                over = self.children[rank].returncode != 0
            else:
                self._take(rank, message)
                over = bool(self.failed or self.result)
            if until is None and over:
                until = time.monotonic() + GRACE
            if until is not None and time.monotonic() > until:
                self._kill()

    def _take(self, rank: int, message: Message) -> None:
        match message:
            case {"event": event}:
                self.listener(from_json(event))
            case {"file": progress}:
                hub.told(hub.Progress(**progress))
            case {"log": [name, level, text]}:
                logging.getLogger(name).log(level, "%s", text)
            case {"error": _}:
                self.failed.append(message)
            case {"result": value} if rank == 0:
                self.result = (value,)

    def _pass_on(self) -> None:
        if self.asked.signal and not self.passed_on:
            self.passed_on = self.asked.signal
            self._signal(self.passed_on)

    def _signal(self, number: int) -> None:
        for child in self.children:
            child.send_signal(number)  # nothing happens where it has ended

    def _kill(self) -> None:
        for child in self.children:
            child.kill()

    def end(self) -> None:
        """None is left behind."""
        self._kill()
        for child in self.children:
            child.wait()
            assert child.stdin is not None
            with suppress(BrokenPipeError):
                child.stdin.close()

    def outcome(self) -> Any:
        """The result.

        Raises:
            BaseException: see :func:`call_on`.
        """
        if self.result is not None:
            return self.result[0]
        codes = [child.returncode for child in self.children]
        raised = [error_from(message) for message in self.failed if not message["lost"]]
        if own := [error for error in raised if not isinstance(error, AbandonedError)]:
            raise own[0]
        if self.passed_on:
            raise KeyboardInterrupt if self.passed_on == signal.SIGINT else TerminationError(self.passed_on)
        if killed := [rank for rank, code in enumerate(codes) if code < 0]:
            raise RunError(_killed(killed[0], codes))
        if self.failed:
            raise error_from(self.failed[0])
        raise RunError(f"a process ended with exit code {max(codes)}; what it said is on stderr")


def _killed(rank: int, codes: Sequence[int]) -> str:
    number = -codes[rank]
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    which = "the training's process" if len(codes) == 1 else f"process {rank} of {len(codes)}"
    often = " (often too little memory)" if name == "SIGKILL" else ""
    return f"{which} was ended by {name}{often}; a training continues from its last checkpoint with --resume"


def plain(value: Any) -> Any:
    """What JSON does not know, as something that it knows: numpy's numbers, dataclasses, paths."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.item() if hasattr(value, "item") else str(value)


def error_message(error: BaseException, *, lost: bool = False, traceback: str = "") -> dict[str, Any]:
    """An error as plain values, for :func:`error_from`.

    Args:
        lost: it says only that another process has gone.
        traceback: of a bug.
    """
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return {
        "error": str(error),
        "kinds": kinds,
        "state": {name: value for name, value in vars(error).items() if name != "__notes__"},
        "notes": list(getattr(error, "__notes__", ())),
        "lost": lost,
        "traceback": traceback,
    }


def error_from(message: Message) -> Exception:
    """The error: of the same type, or of the nearest one that is known here; a bug is a RuntimeError."""
    known = {kind.__name__: kind for kind in _all_below(QakitError)}
    text, kinds = message["error"], message["kinds"]
    error: Exception
    if kind := next((known[name] for name in kinds if name in known), None):
        error = kind.__new__(kind, text)
        error.args = (text,)
        state = dict(message["state"])
        if kind is errors.RecipeError:
            state["issues"] = tuple(Issue(**issue) for issue in state["issues"])
        if kind is errors.DataError:
            state["problems"] = tuple(state["problems"])
        vars(error).update(state)
    else:
        error = RuntimeError(f"{kinds[0]}: {text}")
    for note in message["notes"]:
        error.add_note(note)
    if message["traceback"]:
        error.__cause__ = RemoteTraceback(f"\n{message['traceback']}")
    return error


def _all_below(kind: type[QakitError]) -> Iterator[type[QakitError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all_below(below)
