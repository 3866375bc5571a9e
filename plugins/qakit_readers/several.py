"""Answers of files that give a text and no offsets, to questions with several contexts; lists within records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qakit.api import Answer
from qakit.reading.answers import lowered, within_word
from qakit.reading.record import Record, kind_of, quoted

_Found = tuple[int, int, int]
"""Context, first character, one past the last."""


def place_anywhere(
    texts: Sequence[str], contexts: Sequence[str], *, record: Record, field: str, rows: Sequence[int] | None = None
) -> tuple[Answer, ...]:
    """Where the contexts have an answer, under any of its names; each name is a gold answer, also without a place.

    Exact occurrences count, those in another case only where there is none. Names within a longer name that was found
    are no places of their own, nor are parts of words where whole words were found.

    Args:
        texts: the answer's names, none of them blank, the usual one first.
        contexts: of the question.
        record: whose problem it is when there is no place, or more than one.
        field: of the answer, for messages.
        rows: the contexts to look in; by default all.

    Raises:
        SkippedRecordError: the policy leaves the record out.
        DataError: the policy stops.
    """
    rows = range(len(contexts)) if rows is None else rows
    found = _occurrences(texts, contexts, rows)
    if not found and (found := _occurrences([*map(lowered, texts)], [*map(lowered, contexts)], rows)):
        message = f"the answer {quoted(texts[0])} is in the contexts only in another case"
        if record.judge("answer_case", field, message, repairable=True) != "repair":
            found = []
    elif not found:
        record.judge("answer_missing", field, f"the answer {quoted(texts[0])} is in none of the contexts")
    if len(found) > 1:
        message = f"the answer {quoted(texts[0])} occurs {len(found):,} times, first in context {found[0][0]}"
        policy = record.judge("answer_ambiguous", field, message)
        found = found if policy == "all" else found[:1] if policy == "first" else []
    answers = [_answer(found, row, contexts) for row in dict.fromkeys(row for row, _, _ in found)]
    placed = {answer.text for answer in answers}
    index = answers[0].context if answers else next(iter(rows), 0)
    return (*answers, *(Answer(text, None, index) for text in dict.fromkeys(texts) if text not in placed))


def _occurrences(texts: Sequence[str], contexts: Sequence[str], rows: Sequence[int]) -> list[_Found]:
    """Every place of any text, in order; whole words if there are such, and of texts within each other the longest."""
    longest_first = sorted(dict.fromkeys(texts), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    found = [(row, place.start(), place.end()) for row in rows for place in pattern.finditer(contexts[row])]
    whole = [each for each in found if not any(within_word(contexts[each[0]], at) for at in each[1:])]
    return whole or found


def _answer(found: Sequence[_Found], row: int, contexts: Sequence[str]) -> Answer:
    (start, end), *others = [(start, end) for context, start, end in found if context == row]
    return Answer(contexts[row][start:end], start, row, tuple(others))


def answer_between(record: Record, field: str, start: int, end: int, context: str, *, index: int = 0) -> Answer:
    """The answer that a file gives by its characters alone, without the blanks at its ends.

    Args:
        record: whose answer it is.
        field: of the offsets, for messages.
        start: its first character.
        end: one past its last one.
        context: the raw context.
        index: which of the question's contexts.

    Raises:
        SkippedRecordError: the context has no such characters, and the policy leaves the record out.
        DataError: it has not, and the policy stops.
    """
    if not 0 <= start < min(end, len(context)):
        message = f"there are no characters {start} to {end} in a text of {len(context)}"
        record.refuse("bad_reference", field, message)
    if end > len(context):
        message = f"is {end}, but the text ends at {len(context)}"
        record.judge("answer_end", field, message, repairable=True)
    text = context[start:end]
    start += len(text) - len(text.lstrip())
    if not text.strip():
        record.judge("empty_answer", field, "the answer has no text")
        return Answer("", None, index)
    return Answer(text.strip(), start, index)


def table_of(record: Record, field: str, *names: str) -> list[tuple[Any, ...]]:
    """A small table in a record, row by row: a list of rows or of objects, or an object of columns (``datasets``).

    Args:
        record: what holds it.
        field: where; absent and null are no rows.
        names: of the columns, in the order of rows that are lists; a value that is absent is None.

    Raises:
        SkippedRecordError: it is none of these and the policy leaves the record out.
        DataError: the policy stops.
    """
    if not record.has(field):
        return []
    value = record.values[field]
    if isinstance(value, dict):
        columns = [value.get(name) for name in names]
        lists = [column for column in columns if isinstance(column, list)]
        if len({*map(len, lists)}) > 1:
            record.refuse("contradiction", field, "its lists have different lengths")
        rows = max(map(len, lists), default=0)
        filled = (column if isinstance(column, list) else [None] * rows for column in columns)
        return list(zip(*filled, strict=True))
    found: list[tuple[Any, ...]] = []
    for number, item in enumerate(record.items(field)):
        if isinstance(item, dict):
            found.append(tuple(item.get(name) for name in names))
        elif isinstance(item, list) and len(item) == len(names):
            found.append(tuple(item))
        else:
            wanted = ", ".join(names)
            record.refuse("wrong_type", f"{field}[{number}]", f"should hold {wanted}, not {kind_of(item)}")
    return found
