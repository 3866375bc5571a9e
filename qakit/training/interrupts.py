"""Ctrl-C, SIGTERM and SIGHUP: finish the step, write a checkpoint, then stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from qakit.distributed import launched_processes
from qakit.errors import QakitError
from qakit.training.events import Event, Listener

ECHO = 3.0
"""Seconds within which a signal to one of several processes is taken for the launcher's repetition of the first."""


HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Windows has none."""
TERMINATIONS = (signal.SIGTERM,) if HANGUP is None else (signal.SIGTERM, HANGUP)
"""What asks a process to end, but for Ctrl-C."""


class InterruptedTrainingError(QakitError):
    """Trainings that were asked to stop and have written checkpoints. The exit code is the shell's: 128 + signal."""

    def __init__(self, number: int, *, step: int | None = None) -> None:
        self.exit_code = 128 + number
        after = "" if step is None else f" after step {step}"
        super().__init__(f"stopped by {signal.Signals(number).name}{after}")


class TerminationError(KeyboardInterrupt):
    """SIGTERM or SIGHUP came where there is no step to finish: like Ctrl-C there."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(signal.Signals(number).name)


@contextmanager
def termination_as_error() -> Iterator[None]:
    """Meanwhile SIGTERM and SIGHUP (the terminal is lost) raise :class:`TerminationError`, so that files are put in
    order and a line says how to continue.

    Not outside the main thread, not where somebody else handles the signal or nohup has it ignored, and not among
    several processes: they may be waiting for each other, where no exception gets through.
    """
    alone = launched_processes() == 1
    main = threading.current_thread() is threading.main_thread()
    ours = [number for number in TERMINATIONS if alone and main and signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _frame: FrameType | None) -> None:
        raise TerminationError(number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@dataclass(slots=True)
class StopRequest:
    """Whether somebody asked the training to stop. ``signal`` is the signal's number, 0 for none."""

    signal: int = 0


def stopping(listener: Listener, request: StopRequest) -> Listener:
    """The listener, whose KeyboardInterrupt is a request, as Ctrl-C is: outside the main thread there is no other."""

    def hear(event: Event) -> None:
        try:
            listener(event)
        except KeyboardInterrupt:
            if request.signal:  # Ctrl-C for the second time, which came while the event was heard
                raise
            request.signal = signal.SIGINT

    return hear


@contextmanager
def stop_requests(request: StopRequest | None = None) -> Iterator[StopRequest]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a request; a second one ends the process as usual. A SIGHUP that
    nohup has ignored stays ignored.

    Under a launcher the second one must come later than :data:`ECHO`: Ctrl-C reaches the launcher and its processes,
    and the launcher passes it on to them once more.

    Outside the main thread signals cannot be caught, and nothing is requested.

    Args:
        request: one that exists already.
    """
    request = request or StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, *TERMINATIONS)}
    if HANGUP is not None and previous[HANGUP] is signal.SIG_IGN:
        del previous[HANGUP]

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    launched, began = launched_processes() > 1, 0.0

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal began
        if not request.signal:
            request.signal, began = number, time.monotonic()
            if not launched:
                restore()
        elif time.monotonic() - began > ECHO:
            restore()
            signal.raise_signal(number)

    for number in previous:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
