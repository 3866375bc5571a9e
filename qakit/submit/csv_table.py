"""Reading a CSV file row by row, and saying where and why it cannot be read."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 5
"""Ids or lines that are named of each kind of problem."""


@dataclass(slots=True)
class Some:
    """A count, and the first few of what is counted."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(what if len(what) <= 60 else what[:59] + "…")

    def __str__(self) -> str:
        return ", ".join(self.first) + (", ..." if self.count > len(self.first) else "")


@dataclass(slots=True)
class Table:
    """A CSV file, row by row; what is wrong with its form is collected on the way."""

    path: Path
    header: tuple[str, ...] = ()
    rows: int = 0
    odd: Some = field(default_factory=Some)
    """Rows with too many or too few columns."""
    too_many: bool = False
    broken: str | None = None
    """What ended the reading."""

    def records(self) -> Iterator[list[str]]:
        """The whole rows without the header; blank lines are no rows."""
        rows = 0
        csv.field_size_limit(2**31 - 1)  # by default 131,072 characters: what is not closed would seem too long
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                self.header = tuple(next(reader, ()))
                width = len(self.header)
                for row in reader:
                    if len(row) == width:
                        rows += 1
                        yield row
                    elif row:
                        self.odd.add(f"line {reader.line_num} ({len(row)})")
                        self.too_many |= len(row) > width
        except UnicodeDecodeError:
            self.broken = _undecodable(self.path)
        except csv.Error as error:
            self.broken = (
                f"line {_broken_row(self.path)}: not well-formed CSV ({error}); is a quote not closed, or not doubled?"
            )
        except OSError as error:
            self.broken = f"cannot be read ({error.strerror})"
        finally:
            self.rows = rows

    def problems(self) -> Iterator[str]:
        """What is wrong with the form."""
        if self.broken:
            yield self.broken
        if self.odd.count:
            why = ": an answer with a comma needs quotes around it" if self.too_many else ""
            yield f"{self.odd.count:,} rows do not have {len(self.header)} columns: {self.odd}{why}"


def place_of(header: Sequence[str], id_column: str | None) -> int:
    """The column of the ids: the named one, else the first."""
    return header.index(id_column) if id_column in header else 0


def _broken_row(path: Path) -> int:
    """The line in which the row begins that cannot be read."""
    line = 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for _ in reader:
                line = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError):
            pass
    return line


def _undecodable(path: Path) -> str:
    """Where a file stops being UTF-8, and what it may be instead."""
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "is not UTF-8 text but UTF-16; save it as UTF-8"
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return f"line {number}: is not UTF-8 text (byte 0x{byte:02x}); save it as UTF-8"
    return "is not UTF-8 text; save it as UTF-8"
