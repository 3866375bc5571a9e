"""A standard error that nobody reads any more: a lost terminal, a full disk. The work goes on without a word."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

_STDERR = 2


class _Unfailing:
    """A text stream whose refusals are passed over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written; as if all of it was."""
        if not self._stream.closed:
            with suppress(OSError):
                return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Bring it out, where that can be done."""
        if not self._stream.closed:
            with suppress(OSError):
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_going_without_stderr() -> None:
    """From here on, no message that cannot be written ends the process.

    A standard error that was closed at the start is given to nobody: the next file that is opened would take its
    number, and a library's warning would be written into it.
    """
    try:
        os.fstat(_STDERR)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        if nowhere != _STDERR:
            os.dup2(nowhere, _STDERR)
            os.close(nowhere)
    stream = sys.stderr or os.fdopen(_STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = cast(TextIO, _Unfailing(stream))
