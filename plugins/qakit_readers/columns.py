"""What the columns of a table seem to hold, by their names and by what is in them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

_NAMES = {
    "id": "id idx index textid exampleid questionid qid queryid rowid uid guid uuid essayid",
    "question": "question questiontext query querytext q frage pregunta 问题 問題",
    "context": "context contexttext passage passagetext paragraph paragraphtext article document story text body "
    "content kontext contexte contexto 上下文 文章 段落",
    "answer_text": "answertext answer selectedtext span answerspan goldanswer antwort réponse respuesta 答案",
    "answer_start": "answerstart start startchar spanstart answeroffset offset startindex startidx startpos",
    "answer_end": "answerend end endchar spanend endindex endidx endpos",
    "label": "label labels labelid target class category goldlabel isduplicate score rating grade stars similarity "
    "sentiment polarity stance emotion intent topic answer y",
    "text": "text sentence tweet review comment commenttext excerpt fulltext essay content body message title",
    "document": "title documentid docid articleid document article",
}
NAMES: Mapping[str, tuple[str, ...]] = {role: tuple(names.split()) for role, names in _NAMES.items()}
"""What columns are called (letters and digits in lower case), the surest names first."""
PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text1", "text2"),
    ("texta", "textb"), ("sentencea", "sentenceb"), ("string1", "string2"), ("1string", "2string"),
    ("anchor", "target"), ("claim", "evidence"), ("query", "document"),
)  # fmt: skip
"""Two texts that belong together."""
FEW = 50
"""Classes are no more."""
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_CHOICES = re.compile(r"(choice|option|ending|candidate)?([a-e]|[0-9])")


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the rows that were looked at."""

    name: str
    values: tuple[Any, ...] = field(repr=False)
    """Of every row; None where a cell is empty."""

    @staticmethod
    def of(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
        names = dict.fromkeys(name for row in rows for name in row)
        return [Column(name, tuple(_cell(row.get(name)) for row in rows)) for name in names]

    @cached_property
    def key(self) -> str:
        """The name's letters and digits, in lower case."""
        return "".join(character for character in self.name.casefold() if character.isalnum())

    @cached_property
    def filled(self) -> tuple[Any, ...]:
        """The values without those of empty cells."""
        return tuple(value for value in self.values if value is not None)

    @cached_property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(set(map(str, self.filled)))

    @cached_property
    def is_text(self) -> bool:
        """Whether it holds texts, and not all of them numbers."""
        return bool(self.filled) and all(isinstance(value, str) for value in self.filled) and not self.is_numeric

    @cached_property
    def is_numeric(self) -> bool:
        """Whether every value is a number, or the text of one."""
        return bool(self.filled) and all(_number(value) is not None for value in self.filled)

    @cached_property
    def is_whole(self) -> bool:
        """Whether every value is a whole number."""
        return self.is_numeric and all((_number(value) or 0.0).is_integer() for value in self.filled)

    @cached_property
    def is_share(self) -> bool:
        """Whether every value is a number from 0 to 1."""
        return self.is_numeric and all(0 <= (_number(value) or 0.0) <= 1 for value in self.filled)

    @cached_property
    def length(self) -> float:
        """Characters of a value in the mean."""
        return sum(len(str(value)) for value in self.filled) / len(self.filled) if self.filled else 0.0

    @property
    def is_unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.distinct == len(self.values)

    @property
    def is_few(self) -> bool:
        """Whether the same few short values come again and again."""
        return 1 < self.distinct <= min(FEW, max(2, len(self.filled) // 3)) and self.length <= 40

    @property
    def is_named_like_data(self) -> bool:
        """Whether its name seems to be a value: a number, or one of a few that come again."""
        return _number(self.name) is not None or (self.is_few and self.name in self.filled)

    @property
    def looks_like_names(self) -> bool:
        """Whether all values look like ids: no blanks, no letters of other scripts."""
        return bool(self.filled) and all(_NAME.fullmatch(str(value)) for value in self.filled)

    @property
    def asks(self) -> float:
        """Share of values that end with a question mark."""
        return sum(str(value).rstrip().endswith(("?", "？", "؟")) for value in self.filled) / max(1, len(self.filled))

    @property
    def lists_answers(self) -> bool:
        """Whether it holds answers as Hugging Face's SQuAD has them, or lists of them."""
        return bool(self.filled) and all(map(_is_list_of_answers, self.filled))

    @property
    def first_answers(self) -> Column:
        """The first text of each list of answers."""
        return Column(self.name, tuple(map(_first_text, self.values)))


def named(columns: Iterable[Column], role: str) -> Iterator[Column]:
    """The columns that are called like this role, the surest first."""
    found = {column.key: column for column in columns}
    return (found[name] for name in NAMES[role] if name in found)


def contained(answer: Column, context: Column) -> float:
    """Share of the rows with both where the context has the answer, whatever the case and the blanks."""
    pairs = [(str(a), str(c)) for a, c in zip(answer.values, context.values, strict=True) if None not in (a, c)]
    return sum(a in c or _squeezed(a) in _squeezed(c) for a, c in pairs) / len(pairs) if pairs else 0.0


def starts_fit(start: Column, answer: Column, context: Column) -> float:
    """Share of the rows with an offset where the context has the answer's text there."""
    rows = [row for row in zip(start.values, answer.values, context.values, strict=True) if None not in row]
    return sum(str(c).startswith(str(a), int(_number(at) or 0)) for at, a, c in rows) / len(rows) if rows else 0.0


def ends_fit(end: Column, start: Column, answer: Column) -> float:
    """Share of the rows with offsets whose end is one past the answer."""
    rows = [row for row in zip(end.values, start.values, answer.values, strict=True) if None not in row]
    return sum(_number(stop) == (_number(at) or 0) + len(str(a)) for stop, at, a in rows) / len(rows) if rows else 0.0


def choices(columns: Iterable[Column]) -> list[str]:
    """Columns that look like the answers of a multiple choice: A, B, C; ending0, ending1."""
    found = [column.name for column in columns if column.is_text and _CHOICES.fullmatch(column.key)]
    return found if len(found) > 2 else []


def _cell(value: Any) -> Any:
    """None for what is empty: null, blank text, NaN."""
    return None if value is None or value != value or (isinstance(value, str) and not value.strip()) else value


def _squeezed(text: str) -> str:
    return "".join(text.split()).casefold()


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _is_list_of_answers(value: Any) -> bool:
    if isinstance(value, dict):
        return "text" in value
    return isinstance(value, list) and all(
        isinstance(each, str) or (isinstance(each, dict) and "text" in each) for each in value
    )


def _first_text(value: Any) -> str | None:
    """Of answers in any of the forms that :func:`_is_list_of_answers` knows."""
    while isinstance(value, dict | list):
        value = value.get("text") if isinstance(value, dict) else next(iter(value), None)
    return value if isinstance(value, str) else None
