"""Opening data files: JSON documents and lines of text, with a clear message for everything that is neither."""

from __future__ import annotations

import gzip
import io
import json
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from qakit.errors import DataError

_BOM = b"\xef\xbb\xbf"
_NOTHING = b"\0 \t\r\n"
_GZIP = b"\x1f\x8b"
LONGEST = 1 << 28
"""Bytes of a line, characters of a cell: beyond it something else is wrong than the text."""
MOST_UNPACKED = 200
"""Times the size of a gzip file; texts and tables shrink to a fifth, very repetitive ones to a fiftieth."""
SMALL = 1 << 24
"""Bytes that any file may unpack to."""
_HEAD = 4096
"""How many bytes tell what a file is: a file of 100 MB is not copied for it."""
_BEGINNING = 1 << 22
"""How many tell which format it has: a single record may hold an encyclopedia's article."""
_FOREIGN = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the data; fetch the file with `git lfs pull`"),
    (_GZIP, "is compressed with gzip where it should not be, or twice; unpack it"),
    (b"PK\x03\x04", "is a zip archive; unpack it first"),
    (b"\xff\xfe", "is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16; save it as UTF-8"),
    (b"PAR1", "is a Parquet file; use the table reader"),
)


class RepeatedKeyObject(dict[str, Any]):
    """A JSON object with a key that comes twice; the last value counts."""

    def __init__(self, values: dict[str, Any], key: str) -> None:
        super().__init__(values)
        self.key = key


def load_json(path: Path) -> Any:
    """The document in a UTF-8 JSON file, with or without a byte order mark.

    Raises:
        DataError: the file is missing, a folder, not UTF-8 or not JSON; the message names line and column.
    """
    text = _decode(read_bytes(path), path)
    try:
        document = parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(_explain(error, text), path=path) from None
    except RecursionError:
        raise DataError("the JSON is nested too deeply to be a data file", path=path) from None
    except ValueError:  # integers of more digits than Python converts
        raise DataError("the JSON holds a number with thousands of digits", path=path) from None
    if isinstance(document, RepeatedKeyObject):
        raise DataError(f"the key {document.key!r} comes twice; which of the two is the data?", path=path)
    return document


def parse_json(text: str) -> Any:
    """A JSON value; its objects that name a key twice are :class:`RepeatedKeyObject`."""
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    keys = Counter(key for key, _ in pairs)
    return RepeatedKeyObject(values, keys.most_common(1)[0][0])


def read_bytes(path: Path) -> bytes:
    """The file's bytes, unpacked if it is compressed with gzip.

    Raises:
        DataError: it cannot be read, is empty, or is evidently something else than text.
    """
    with opened(path) as file:
        data = file.read()
    refuse_foreign(data, path)
    return data


def load_text(path: Path) -> str:
    """The text of a UTF-8 file, line ends as they are, also of one without any; raises as :func:`read_bytes` otherwise,
    and where it is not UTF-8."""
    with opened(path) as file:
        data = file.read()
    if data.strip():
        refuse_foreign(data, path)
    return _decode(data, path)


def beginning(path: Path) -> str:
    """The first few million characters of a file, to see what it is; empty where it cannot be read."""
    try:
        with opened(path) as file:
            return file.read(_BEGINNING).decode("utf-8", "replace")
    except DataError:
        return ""


def text_lines(path: Path, *, keep_ends: bool = False) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line, one at a time; lines end at ``\\n`` or ``\\r\\n`` and nowhere else.

    Only in a file without any ``\\n`` they end at ``\\r``. With ``keep_ends`` the text includes the line's end.

    Raises:
        DataError: as :func:`read_bytes`, or a line is not UTF-8, or longer than any text.
    """
    with opened(path) as file:
        head = file.read(_HEAD)
        if len(head) < _HEAD or head.strip(_NOTHING):
            refuse_foreign(head, path)
        file.seek(0)
        for number, line in enumerate(_byte_lines(file, path), start=1):
            if number == 1:
                line = line.removeprefix(_BOM)
            if not keep_ends:
                line = line.removesuffix(b"\n").removesuffix(b"\r")
            yield number, _decode(line, path, row=f"line {number}")


class _Bounded(io.RawIOBase):
    """What comes out of a small file is bounded: a file of blanks is a thousand times shorter when compressed."""

    def __init__(self, unpacked: gzip.GzipFile, longest: int, path: Path) -> None:
        super().__init__()
        self._unpacked, self._longest, self._path = unpacked, longest, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._unpacked.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        count = self._unpacked.readinto(buffer)
        if self._unpacked.tell() > self._longest:
            problem = f"the gzip file unpacks to more than {self._longest:,} bytes, as no text does"
            raise DataError(problem, path=self._path)
        return int(count)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A text file's bytes to be read; what is compressed with gzip, whatever its name says, is unpacked on the way.

    Raises:
        DataError: the file cannot be read, or what is compressed is cut off or damaged.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise DataError("is a pipe or a device, and no file", path=path)
        with path.open("rb") as file:
            if file.peek(len(_GZIP)).startswith(_GZIP):
                longest = max(MOST_UNPACKED * path.stat().st_size, SMALL)
                with gzip.open(file) as unpacked:
                    yield io.BufferedReader(_Bounded(unpacked, longest, path))
            else:
                yield file
    except EOFError:
        raise DataError("the gzip file stops short; copy or download it again", path=path) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the gzip file is damaged ({error}); copy or download it again", path=path) from None
    except OSError as error:
        raise unreadable(path, error) from None


def _byte_lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    line = file.readline(LONGEST + 1)
    if not line.endswith(b"\n") and b"\r" in line.rstrip():  # no other line end in the whole file
        yield from line.splitlines(keepends=True)
        line = file.readline(LONGEST + 1)
    number = 0
    while line:
        number += 1
        if len(line) > LONGEST:
            raise DataError(f"the line is longer than {LONGEST:,} bytes: no text is", path=path, row=f"line {number}")
        yield line
        line = file.readline(LONGEST + 1)


def refuse_foreign(start: bytes, path: Path) -> None:
    """Raise a DataError when a file that begins like this is no text data."""
    head = start[:_HEAD]
    if not head.strip() and not start.strip():
        raise DataError("the file is empty", path=path)
    if not head.strip(_NOTHING) and not start.strip(_NOTHING):
        raise DataError("holds nothing but NUL bytes: copy or download it again", path=path)
    for magic, message in _FOREIGN:
        if start.startswith(magic):
            raise DataError(message, path=path)
    if head.removeprefix(_BOM).lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        raise DataError("is a web page (HTML), not the data; download the file itself", path=path)


def unreadable(path: Path, error: OSError) -> DataError:
    """The DataError for a file that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return DataError("there is no such file", path=path)
    if isinstance(error, IsADirectoryError):
        return DataError("is a folder; name a file in it", path=path)
    return DataError(f"cannot be read: {error.strerror or error}", path=path)


def _decode(data: bytes, path: Path, row: str | None = None) -> str:
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        where = "of the line" if row else "of the file"
        byte = data[error.start]
        message = f"byte {error.start} {where} (0x{byte:02x}) is not UTF-8; save the file as UTF-8"
        if error.start == 0 and row in (None, "line 1"):
            message = f"is not text: it begins with the bytes {data[:4].hex(' ')}; is it the right file?"
        raise DataError(message, path=path, row=row) from None


def _explain(error: json.JSONDecodeError, text: str) -> str:
    place = f"line {error.lineno}, column {error.colno}"
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return f"the JSON stops short at {place}; the file seems to be cut off"
    if error.msg == "Extra data" and text[error.pos] in "{[":
        return f"there is a second JSON value at {place}; for JSON Lines use the table reader"
    if error.pos == 0 or not text.lstrip().startswith(("{", "[")):
        first = text.lstrip()[:1]  # no more: whoever sends a run chooses what file it names
        table = "" if first in "<{[" else "; for CSV and TSV use the table reader"
        return f"is not JSON: it begins with {first!r}{table}"
    return f"is not valid JSON at {place}: {error.msg}"
