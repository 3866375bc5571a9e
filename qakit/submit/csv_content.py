"""A CSV file row by row, and what a submission holds: its ids against the sample, answers that are worth a look."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from qakit.errors import DataError
from qakit.names import shortened

SHOWN = 5
"""Ids or lines that are named of each kind of problem."""


@dataclass(slots=True)
class Some:
    """A count, and the first few of what is counted."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(shortened(what, 60))

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
        rows, begin = 0, 1  # the line in which the next row begins
        csv.field_size_limit(2**31 - 1)  # by default 131,072 characters: what is not closed would seem too long
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                self.header = tuple(next(reader, ()))
                width, begin = len(self.header), reader.line_num + 1
                for row in reader:
                    begin = reader.line_num + 1
                    if len(row) == width:
                        rows += 1
                        yield row
                    elif row:
                        self.odd.add(f"line {reader.line_num} ({len(row)})")
                        self.too_many |= len(row) > width
        except UnicodeDecodeError:
            self.broken = _undecodable(self.path)
        except csv.Error as error:
            self.broken = f"line {begin}: not well-formed CSV ({error}); is a quote not closed, or not doubled?"
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


LOOKS_MISSING = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""What table readers such as pandas take for a missing value."""


@dataclass(slots=True)
class Answers:
    """What the answers look like."""

    empty: Some = field(default_factory=Some)
    missing: Some = field(default_factory=Some)
    """They look like a missing value."""
    breaks: Some = field(default_factory=Some)
    """They hold a line break."""
    choices: set[str] = field(default_factory=set)
    """How choices are spelt: see :func:`as_choice`."""

    def look(self, id_: str, answer: str) -> None:
        """One answer that is not plain text on one line."""
        if not answer:
            self.empty.add(id_)
        elif answer in LOOKS_MISSING:
            self.missing.add(f"{id_}: {answer}")
        else:
            self.breaks.add(id_)

    def notices(self) -> Iterator[str]:
        if self.missing.count:
            yield (
                f"{self.missing.count:,} answers look like a missing value, and table readers take them for one"
                f" ({self.missing}); they are sent as they are"
            )
        if self.breaks.count:
            yield f"{self.breaks.count:,} answers hold a line break ({self.breaks}); they are quoted, which is allowed"


def as_choice(answer: str) -> str:
    """What an answer is where contexts or endings are chosen: ``numbers``, capital ``letters``, or ``text``."""
    if answer.isdecimal():
        return "numbers"
    return "letters" if len(answer) == 1 and "A" <= answer <= "Z" else "text"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the sample submission asks for."""

    header: tuple[str, ...]
    places: dict[str, int]
    """Id -> row."""
    empty_answers: bool
    choices: frozenset[str]
    """As in :class:`Answers`."""


class Ids:
    """Which of the wanted ids have come, in what order."""

    def __init__(self, sample: Sample | None) -> None:
        self.sample = sample
        self.seen = bytearray(0 if sample is None else len(sample.places))
        self.own: set[str] = set()
        """The ids so far, only where there is no sample."""
        self.unknown, self.repeated = Some(), Some()
        self.row = 0
        self.moved: str | None = None
        """The first id that is not at the sample's place."""

    def see(self, id_: str) -> None:
        if self.sample is None:
            if id_ in self.own:
                self.repeated.add(id_)
            self.own.add(id_)
            return
        place = self.sample.places.get(id_)
        if place is None:
            self.unknown.add(id_)
        elif self.seen[place]:
            self.repeated.add(id_)
        else:
            self.seen[place] = 1
        if place != self.row and self.moved is None and place is not None:
            self.moved = f"row {self.row + 1}: {id_}"
        self.row += 1

    def problems(self, *, complete: bool) -> Iterator[str]:
        """What is wrong with the ids; which are missing is only known when the whole file was read."""
        if self.sample is not None and complete and (count := self.seen.count(0)):
            missing = Some()
            for id_, place in self.sample.places.items():
                if not self.seen[place]:
                    missing.add(id_)
                    if len(missing.first) == SHOWN:
                        break
            missing.count = count
            yield f"{count:,} ids of the sample are missing: {missing}"
        if self.unknown.count:
            yield f"{self.unknown.count:,} ids are not in the sample: {self.unknown}{self._hint()}"
        if self.repeated.count:
            yield f"{self.repeated.count:,} rows repeat an id: {self.repeated}"

    def notices(self) -> Iterator[str]:
        right = self.sample is not None and not (self.unknown.count or self.repeated.count or self.seen.count(0))
        if right and self.moved is not None:
            yield f"the rows are in another order than the sample's, from {self.moved}; Kaggle goes by the ids"

    def _hint(self) -> str:
        """Why the unknown ids may be unknown."""
        known = self.sample.places if self.sample is not None else {}
        if all(id_.strip() in known for id_ in self.unknown.first):
            return " (they have spaces around them)"
        if all(id_.removesuffix(".0") in known for id_ in self.unknown.first):
            return " (they were written as decimal numbers)"
        if all(any(id_.zfill(width) in known for width in range(2, 20)) for id_ in self.unknown.first):
            return " (they lost their leading zeros)"
        return ""


def read_sample(path: Path, id_column: str | None, answer_column: str | None) -> Sample:
    """Read the sample submission.

    Raises:
        DataError: it cannot be read, or is not what a sample can be.
    """
    table, places, empty, choices = Table(path), dict[str, int](), False, set[str]()
    records = table.records()
    first = next(records, None)
    if first is None:
        raise DataError(table.broken or "has no rows", path=path)
    place = place_of(table.header, id_column)
    for name in (id_column, answer_column):
        if name is not None and name not in table.header:
            raise DataError(f"has no column {name!r}; it has {', '.join(table.header)}", path=path)
    repeated = Some()
    for row in chain((first,), records):
        if row[place] in places:
            repeated.add(row[place])
        places.setdefault(row[place], len(places))
        empty = empty or not all(row)
        choices |= {as_choice(cell) for column, cell in enumerate(row) if column != place}
    problems = [*table.problems()]
    if repeated.count:
        problems.append(f"{repeated.count:,} rows repeat an id: {repeated}")
    if problems:
        raise DataError(f"is no good as a sample submission: {problems[0]}", path=path)
    return Sample(table.header, places, empty, frozenset(choices))
