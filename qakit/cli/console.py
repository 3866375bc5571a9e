"""Where the command line writes: answers to stdout, everything else to stderr.

Text from users, files and plugins goes through :func:`plain`, so that neither rich markup nor terminal escapes in it
take effect.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

PIPE_WIDTH = 160
"""Columns when nobody's terminal is there to be asked: tables in a file or a pipe need not be narrow."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
"""Answers: tables, figures."""
err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress, warnings, errors."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\n\t"}


def plain(text: object, style: str = "") -> Text:
    """The text as it is: no markup, control characters shown as escapes."""
    return Text(str(text).translate(_CONTROL), style=style)


def print_json(value: Any) -> None:
    """One JSON document on stdout, for programs."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def print_error(message: object) -> None:
    """An error for the user: one line where one line says it."""
    err.print(Text("error: ", style="bold red") + plain(message))


def print_warning(message: object) -> None:
    """Something the user should know; the command goes on."""
    err.print(Text("warning: ", style="yellow") + plain(message))
