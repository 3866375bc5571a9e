"""MRQA's shared task: one context a line with its questions, the answers' places found beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from qakit.api import Answer, Example, Problems
from qakit.reading.answers import place_answer
from qakit.reading.record import Record, SkippedRecordError, kind_of, quoted, whole_number
from qakit_readers.forms import demand
from qakit_readers.json_table import json_lines


class MrqaReader:
    """``{"header": {...}}``, then lines ``{"context", "qas": [{"qid", "question", "answers": [text],
    "detected_answers": [{"text", "char_spans": [[start, end]]}]}]}``; the ends of the file are inclusive.

    Every place of a detected answer is right to learn (``Answer.others``); the other ``answers`` count in metrics. A
    question with neither is unlabelled. ``Example.document`` is the context's id, where it has one.
    """

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order, reading as they are asked for."""
        for row, value in json_lines(path):
            if not (isinstance(value, dict) and "header" in value and "qas" not in value):  # one for each file in it
                yield from _context(value, row, problems)


def _context(value: object, row: str, problems: Problems) -> Iterator[Example]:
    questions = value.get("qas") if isinstance(value, dict) else None
    try:
        record = Record.of(value, row, problems, weight=len(questions) if isinstance(questions, list) else 1)
        demand(record, "qas", "mrqa")
        questions = record.items("qas")
        context = record.text("context", empty="empty_context")
        document = record.identifier() if record.values.get("id") not in (None, "") else ""
    except SkippedRecordError:
        return
    for number, question in enumerate(questions):
        with suppress(SkippedRecordError):
            yield _question(Record.of(question, f"{row}.qas[{number}]", problems), context, document)


def _question(record: Record, context: str, document: str) -> Example:
    identifier = record.identifier(record.first_of("qid", "id"))
    record = record.named(f"id {identifier}")
    question = record.text("question", empty="empty_question")
    answers = None if record.problems.predicted_only else _answers(record, context)
    return Example(identifier, question, (context,), answers=answers, document=document)


def _answers(record: Record, context: str) -> tuple[Answer, ...] | None:
    detected = record.items("detected_answers") if record.has("detected_answers") else []
    found = [
        _detected(record.child(value, f"detected_answers[{number}]"), context) for number, value in enumerate(detected)
    ]
    found = _learnt_together(found)
    known = {answer.text for answer in found}
    for number, text in enumerate(record.items("answers") if record.has("answers") else []):
        if not isinstance(text, str):
            record.refuse("wrong_type", f"answers[{number}]", f"should be text, not {kind_of(text)}")
        if text.strip() and text not in known:
            found.append(Answer(record.sound(text, f"answers[{number}]"), None))
    return tuple(dict.fromkeys(found)) or None


def _learnt_together(answers: list[Answer]) -> list[Answer]:
    """The first answer that has a place with those of all others, too: training aims at one answer's places."""
    row = next((row for row, answer in enumerate(answers) if answer.places), None)
    if row is None:
        return answers
    places = dict.fromkeys(place for answer in answers for place in answer.places)
    own = answers[row].places[:1] if answers[row].start is not None else ()
    every = replace(answers[row], others=tuple(place for place in places if place not in own))
    return [*answers[:row], every, *answers[row + 1 :]]


def _detected(record: Record, context: str) -> Answer:
    """An answer at all places that the file has for it."""
    text = record.text("text")
    spans = [_span(record, f"char_spans[{number}]", value) for number, value in enumerate(record.items("char_spans"))]
    inside = [(start, end) for start, end in spans if 0 <= start < end <= len(context)]
    exact = [place for place in inside if context[slice(*place)] == text]
    if exact:
        if wrong := len(spans) - len(exact):
            message = f"{wrong} of the {len(spans)} places do not hold {quoted(text)}"
            record.judge("answer_offset", "char_spans", message, repairable=True)
        return Answer(text, exact[0][0], 0, tuple(exact[1:]))
    if inside and len(inside) == len(spans) and all(_same(context[slice(*place)], text) for place in inside):
        return Answer(text, None, 0, tuple(inside))  # as the file has it, in another case or with other blanks
    start = spans[0][0] if spans else None
    return place_answer(text, start, context, record=record, field="char_spans", named="text", offsets_expected=True)


def _span(record: Record, field: str, value: Any) -> tuple[int, int]:
    """[start, end) characters."""
    numbers = [whole_number(each) for each in value] if isinstance(value, list) else []
    if len(numbers) != 2 or None in numbers:
        record.refuse("wrong_type", field, f"should be two whole numbers, not {kind_of(value)}")
    start, last = numbers
    return int(start or 0), int(last or 0) + 1


def _same(one: str, other: str) -> bool:
    return "".join(one.split()).casefold() == "".join(other.split()).casefold()
