"""Writing text files line by line: atomic, and naming the prediction that cannot be encoded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qakit.api import DataError, atomic_path

_CHUNK = 4096
"""Lines encoded and written at once."""


def write_lines(path: Path, lines: Iterable[str], *, encoding: str = "utf-8", bom: bool = False) -> None:
    """Replace the file with the joined ``lines`` (each with its line end), atomically.

    Raises:
        DataError: a line has a character that the encoding lacks.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if bom:
            file.write("\ufeff".encode(encoding))
        chunk: list[str] = []
        for line in lines:
            chunk.append(line)
            if len(chunk) == _CHUNK:
                file.write(_encoded(chunk, encoding, path))
                chunk.clear()
        file.write(_encoded(chunk, encoding, path))


def _encoded(chunk: list[str], encoding: str, path: Path) -> bytes:
    text = "".join(chunk)
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        character = f"U+{ord(text[error.start]):04X}"
        start = text.rfind("\n", 0, error.start) + 1
        place = text[start : error.start][:40].encode("ascii", "backslashreplace").decode()
        raise DataError(
            f"{character} cannot be written as {encoding} (in the line that begins {place!r}); write utf-8 or add the"
            " character to remove_characters",
            path=path,
        ) from None
