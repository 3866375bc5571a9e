"""One problem in a recipe, with its place and the words that a person sees."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

SNIPPET_WIDTH = 100
"""Longest piece of a source line that is shown, in characters."""


@dataclass(frozen=True, slots=True)
class Issue:
    """A problem: where it is, what is wrong, what may help.

    ``str(issue)`` is ``file:line:column: message``, the source line, a caret and the hint.
    """

    file: str
    """The recipe file as the user named it, or the text of the ``--set`` that caused the problem."""
    line: int | None
    """From 1; None when the problem is the whole file or a ``--set``."""
    column: int | None
    """From 1, in characters."""
    path: str
    """Dotted path of the value (``train.epochs``); empty for the file."""
    message: str
    hint: str = ""
    snippet: str = ""
    """The source line."""

    @property
    def place(self) -> str:
        """``file:line:column``, as far as known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message}"]
        if self.line is not None and self.column is not None and self.snippet.strip():
            text, offset = _crop(self.snippet, self.column - 1)
            margin = f"{self.line:>5} | "
            lines += [margin + text, " " * (len(margin) - 2) + "| " + " " * _cells(text[:offset]) + "^"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


def close_match(name: str, choices: Iterable[str]) -> str | None:
    """The one of ``choices`` that was probably meant, or None."""
    found = difflib.get_close_matches(name.lower(), lower := {choice.lower(): choice for choice in choices}, n=1)
    return lower[found[0]] if found else None


def did_you_mean(name: str, choices: Iterable[str], *, otherwise: str = "") -> str:
    """``did you mean 'x'?``, or ``otherwise: x, y, z`` when nothing is close."""
    choices = list(choices)
    match = close_match(name, choices)
    if match is not None:
        return f"did you mean {match!r}?"
    return f"{otherwise}: {', '.join(choices)}" if otherwise and choices else ""


def _crop(line: str, offset: int) -> tuple[str, int]:
    """The part of a long line around the caret, without control characters, and the caret's offset in it."""
    clean = "".join(" " if unicodedata.category(char).startswith("C") else char for char in line.rstrip())
    start = max(0, offset - SNIPPET_WIDTH // 2) if len(clean) > SNIPPET_WIDTH else 0
    return clean[start : start + SNIPPET_WIDTH], offset - start


def _cells(text: str) -> int:
    """Terminal columns that the text takes: East Asian wide characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
