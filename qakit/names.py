"""Names: of files in documents that others can write, one below a folder, never a way out of it. Texts for messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

LONGEST_NAME = 255
"""Bytes that file systems take."""


def plain_name(value: object) -> str:
    """A value that is the name of a file or folder: no path, for any system.

    Raises:
        ValueError: it is something else; says what.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} is no file name")
    parts = value.replace("\\", "/").split("/")
    if len(parts) > 1 or value in ("", ".", "..") or ":" in value or not value.isprintable():
        raise ValueError(f"{value!r:.80} is no plain file name")
    if len(value.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        raise ValueError(f"{value!r:.80} is longer than a file name may be")
    return value


def quoted(path: object) -> str:
    """A path as a shell takes it, for a command that a message tells."""
    return quote(str(path))


def few(names: Sequence[str], shown: int = 6) -> str:
    """The first of some names for a message, and how many there are beside."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def shortened(text: str, longest: int) -> str:
    """The text, or as much of it as fits with an ellipsis at its end."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def one_line(said: object, longest: int | None = 300) -> str:
    """What another program says, for a message of ours: its first line, with what follows where that ends in a colon.

    Args:
        said: a text, or an exception; one that says nothing is told by its name.
        longest: characters at most; None for a text of which a part must not be cut before it is looked at.
    """
    lines = [" ".join(line.split()) for line in str(said).splitlines() if line.strip()]
    kept = next((number for number, line in enumerate(lines, start=1) if not line.endswith(":")), len(lines))
    text = " ".join(lines[:kept]) or (type(said).__name__ if isinstance(said, BaseException) else "")
    return text if longest is None else shortened(text, longest)


def below(folder: Path, path: object) -> Path:
    """A file of a folder, or of folders in it, by its path with forward slashes.

    Raises:
        ValueError: the path is none, or leads out of the folder.
    """
    if not isinstance(path, str):
        raise ValueError(f"{path!r:.80} is no file name")
    return folder.joinpath(*map(plain_name, path.split("/")))


def duration(seconds: float | None) -> str:
    """Seconds as people read them: ``48 s``, ``12.5 min``, ``3.2 h``; ``-`` where they are not known."""
    if seconds is None:
        return "-"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.{0 if unit == 1 else 1}f} {name}"
    return f"{seconds / 3600:.1f} h"
