"""A process that calls one function for another process: the child of :mod:`qakit.training.subprocesses`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from importlib import import_module
from typing import Any, TextIO

from qakit import hub
from qakit.cli.terminal.harmless import show_logged_warnings
from qakit.cli.terminal.streams import steady_streams
from qakit.distributed import is_first_process, lost_neighbour
from qakit.errors import DEBUG_VARIABLE, QakitError
from qakit.system import refused_by_system


def main() -> int:
    """Do what stdin's first line says; returns the exit code."""
    steady_streams()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what anybody prints is no message
    say = _Sayer(channel)
    _forward_warnings(say if is_first_process() else None)
    order = json.loads(_first_line())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from qakit.training.interrupts import TerminationError, termination_as_error

    try:
        with termination_as_error():
            say(result=_call(order, say))
    except KeyboardInterrupt as stop:
        return stop.exit_code if isinstance(stop, TerminationError) else 128 + signal.SIGINT
    except Exception as error:
        return _told(error, say)
    return 0


def _call(order: dict[str, Any], say: _Sayer) -> Any:
    from qakit.training.events import Event, as_json, silence

    def listener(event: Event) -> None:
        say(event=as_json(event))

    module, _, name = order["function"].partition(":")
    function = getattr(import_module(module), name)
    if not is_first_process():
        return function(silence, **order["arguments"])
    with hub.reporting(lambda progress: say(file=progress)):
        return function(listener, **order["arguments"])


def _told(error: Exception, say: _Sayer) -> int:
    """Say what went wrong, in the words of the command line."""
    from qakit.training.subprocesses import error_message

    lost = lost_neighbour(error) if isinstance(error, RuntimeError) else None
    known = error if isinstance(error, QakitError) else refused_by_system(error) or lost
    told = "".join(traceback.format_exception(error)) if known is None or os.environ.get(DEBUG_VARIABLE) else ""
    if known is None:
        say(**error_message(error, traceback=told))
        return 1
    say(**error_message(known, lost=lost is not None, traceback=told))
    return known.exit_code


class _Sayer:
    """Writes messages to the parent, one a line; where it is gone, to nobody."""

    def __init__(self, channel: TextIO) -> None:
        self._channel, self._lock = channel, threading.Lock()

    def __call__(self, **message: Any) -> None:
        from qakit.training.subprocesses import plain

        with self._lock:
            try:
                self._channel.write(json.dumps(message, default=plain) + "\n")
                self._channel.flush()
            except BrokenPipeError:
                self._channel = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - a device, for good


class _Forwarded(logging.Handler):
    """What the core logs is logged in the parent."""

    def __init__(self, say: _Sayer) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(log=[record.name, record.levelno, record.getMessage()])


def _forward_warnings(say: _Sayer | None) -> None:
    """The core's warnings go to the parent, or to nobody: another process says the same."""
    show_logged_warnings()
    logging.getLogger("qakit").handlers[:] = [logging.NullHandler() if say is None else _Forwarded(say)]


def _first_line() -> bytes:
    """Read without Python's own buffer: a thread waits at stdin for its end later, and must hold no lock."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            sys.exit(1)  # the parent is gone
        line += part
    return line


def _end_with_parent() -> None:
    """Where the parent ends without a word, such as by a kill, this process finishes its step and ends, too."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
