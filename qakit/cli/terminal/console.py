"""Where the command line writes: answers to stdout, everything else to stderr.

Text from users, files, plugins and servers goes through :func:`plain`, so that neither rich markup nor terminal escapes
in it take effect. The consoles hold to that whatever is printed: they read no markup, and show what slips past
:func:`plain` as escapes too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from qakit.cli.terminal.harmless import IN_JSON, SHOWN

PIPE_WIDTH = 160
"""Columns when nobody's terminal is there to be asked: tables in a file or a pipe need not be narrow."""


class _Console(Console):
    """A console on which text is text."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False, **settings)

    @property
    def encoding(self) -> str:
        """What the stream takes, for rich to choose lines and bars by; its own guess is UTF-8."""
        return (getattr(self.file, "encoding", None) or "utf-8").lower()

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich draws, its own control codes untouched and those in text escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(SHOWN), segment.style)


out = _Console(width=None if sys.stdout is not None and sys.stdout.isatty() else PIPE_WIDTH)
"""Answers: tables, figures."""
err = _Console(stderr=True)
"""Progress, warnings, errors."""


def plain(text: object, style: str = "") -> Text:
    """The text as it is: no markup; control characters, marks of direction and lone surrogates shown as escapes."""
    return Text(str(text).translate(SHOWN), style=style)


def print_json(value: Any) -> None:
    """One JSON document on stdout, for programs; harmful characters in it as JSON's own escapes.

    Where stdout is not UTF-8 all others are, too: JSON is UTF-8, and ASCII is both.
    """
    utf8 = out.encoding.replace("-", "") == "utf8"
    print_text(json.dumps(value, ensure_ascii=not utf8, indent=2, allow_nan=False) + "\n")


def print_text(text: str) -> None:
    r"""Text for programs on stdout, unwrapped; harmful characters as ``\u001b``."""
    sys.stdout.write(text.translate(IN_JSON))


def print_error(message: object) -> None:
    """An error for the user: one line where one line says it."""
    err.print(Text("error: ", style="bold red") + plain(message))


def print_warning(message: object) -> None:
    """Something the user should know; the command continues."""
    err.print(Text("warning: ", style="yellow") + plain(message))
