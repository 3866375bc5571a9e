"""A record of a file with typed access to its fields; everything wrong goes through the problem policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from qakit.problems import Policy, Problems
from qakit.reading.files import RepeatedKeyObject

REPEATED = "the key comes twice in one object; the last one counts"
_SHOWN = 40
_INEXACT = 2**53
"""From here on a float may stand for several whole numbers."""


class SkippedRecordError(Exception):
    """The policy leaves this record out. It is counted already; a reader continues with the next one."""


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object or table row.

    Attributes:
        values: its fields.
        row: its name in messages.
        problems: who decides about problems.
        place: what stands before a field's name in messages, e.g. ``"answers[1]."``.
        weight: how many examples are lost when it is skipped.
    """

    values: Mapping[str, Any]
    row: str
    problems: Problems
    place: str = ""
    weight: int = 1

    @classmethod
    def of(cls, value: object, row: str, problems: Problems, *, place: str = "", weight: int = 1) -> Record:
        """A JSON value that should be an object."""
        if not isinstance(value, dict):
            empty = cls({}, row, problems, weight=weight)
            empty.refuse("wrong_type", place, f"should be an object with fields, not {kind_of(value)}")
        record = cls(cast("dict[str, Any]", value), row, problems, f"{place}." if place else "", weight)
        if isinstance(value, RepeatedKeyObject):
            record.judge("repeated_key", value.key, REPEATED)
        return record

    def named(self, row: str) -> Record:
        """The same record under a better name."""
        return Record(self.values, row, self.problems, self.place, self.weight)

    def judge(self, kind: str, field: str, message: str, *, repairable: bool = False) -> Policy:
        """What to do about a problem: ``keep`` or ``repair``.

        Raises:
            SkippedRecordError: the policy is ``skip``.
            DataError: the policy is ``error``.
        """
        policy = self.problems.judge(
            kind,
            row=self.row,
            field=f"{self.place}{field}",
            message=message,
            repairable=repairable,
            records=self.weight,
        )
        if policy == "skip":
            raise SkippedRecordError
        return policy

    def refuse(self, kind: str, field: str, message: str) -> NoReturn:
        """Stop or skip because of a problem that leaves nothing to keep."""
        self.judge(kind, field, message)
        raise SkippedRecordError

    def get(self, field: str) -> Any:
        """The value of a field that must be there.

        Raises:
            SkippedRecordError: it is absent and the policy is ``skip``.
        """
        if field not in self.values:
            self.refuse("missing_field", field, "the field is missing")
        return self.values[field]

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(field) is not None

    def first_of(self, *fields: str) -> str:
        """The first of the fields that is there, else the first: what one thing is called in several formats."""
        return next((field for field in fields if field in self.values), fields[0])

    def text(self, field: str, *, empty: str | None = None) -> str:
        """A string without lone surrogates. ``empty`` is the kind of problem that blank text is; None allows it."""
        value = self.get(field)
        if not isinstance(value, str):
            self.refuse("wrong_type", field, f"should be text, not {kind_of(value)}")
        text = self.sound(value, field)
        if empty is not None and not text.strip():
            self.judge(empty, field, "there is no text")
        return text

    def sound(self, text: str, field: str) -> str:
        """The text with U+FFFD for every lone surrogate; lengths and offsets stay."""
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            message = f"character {error.start} is half of a surrogate pair (U+{ord(text[error.start]):04X})"
            self.judge("lone_surrogate", field, message, repairable=True)
            return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
        return text

    def identifier(self, field: str = "id") -> str:
        """An id: text or a whole number, as text."""
        value = self.get(field)
        if isinstance(value, str) and value:
            return self.sound(value, field)
        if value == "":
            self.refuse("missing_field", field, "the id is empty")
        if (number := whole_number(value)) is None:
            message = f"an id should be text or a whole number, not {kind_of(value)}"
            if isinstance(value, float) and abs(value) >= _INEXACT:
                message += ": a float of this size has lost digits; write the ids as integers or text"
            self.refuse("wrong_type", field, message)
        return str(number)

    def integer(self, field: str) -> int:
        """A whole number."""
        value = self.get(field)
        if (number := whole_number(value)) is None:
            self.refuse("wrong_type", field, f"should be a whole number, not {kind_of(value)}")
        return number

    def items(self, field: str) -> list[Any]:
        """A JSON array."""
        value = self.get(field)
        if not isinstance(value, list):
            self.refuse("wrong_type", field, f"should be a list, not {kind_of(value)}")
        return value

    def child(self, value: object, place: str) -> Record:
        """An object within this record, such as an answer."""
        return Record.of(value, self.row, self.problems, place=f"{self.place}{place}", weight=self.weight)


def whole_number(value: object) -> int | None:
    """A whole number, also one that is written as a float: pandas makes floats of columns with gaps. None otherwise, as
    for a float so large that it may have been another number."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _INEXACT:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def kind_of(value: object) -> str:
    """A value as a message shows it: its JSON type, and what it is when that is short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    return f"the number {str(value)[:_SHOWN]}" if isinstance(value, int | float) else type(value).__name__


def quoted(text: str) -> str:
    """Text in quotes for a message, shortened, with control characters escaped."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
