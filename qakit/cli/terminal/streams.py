"""stdout and stderr that take every text, and whose failure ends no command.

A pipe on Windows, or a Latin-1 or Big5 locale, has no room for most characters; a disk fills up; a reader goes away; a
service starts with its streams closed. None of that may cost a finished training its end.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
from typing import Any, TextIO, cast

ESCAPES = "qakit.escapes"
r"""Error handler for encoding: what the encoding lacks becomes ``\uXXXX``, which JSON reads back as the same text."""


class SteadyStream:
    """A text stream that can be written to when it is broken, too; the first failure is kept.

    Args:
        stream: where the text goes; None for one that was closed from the start: nobody is to read it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - a device, for good
        self.failure: OSError | None = None
        if isinstance(self._stream, io.TextIOWrapper):
            self._stream.reconfigure(errors=ESCAPES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or pass over what cannot be written."""
        if not self._stream.closed:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or pass over what cannot be written."""
        if not self._stream.closed:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
            os.dup2(nowhere.fileno(), self._stream.fileno())  # what waits in the buffer would fail again at the end


def steady_streams() -> None:
    """From here on, stdout and stderr of this process are :class:`SteadyStream`."""
    codecs.register_error(ESCAPES, _escaped)
    _occupy_closed()
    sys.stdout = cast("TextIO", SteadyStream(sys.stdout))
    sys.stderr = cast("TextIO", SteadyStream(sys.stderr))


def lost_output() -> str | None:
    """What to say when stdout did not take all that was printed; None when it did, or nobody reads any more."""
    stream = sys.stdout
    if not isinstance(stream, SteadyStream):
        return None
    stream.flush()
    if stream.failure is None or stream.failure.errno == errno.EPIPE:
        return None
    reason = stream.failure.strerror or stream.failure
    return f"cannot write to stdout: {reason}; what the command printed is lost, what it wrote to files is not"


def _occupy_closed() -> None:
    """Put the null device where stdin, stdout or stderr is closed: else the next file that is opened becomes it, and
    receives what libraries write there."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
