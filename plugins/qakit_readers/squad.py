"""SQuAD 1.1 and 2.0, data sets in their shape (DRCD, CMRC 2018, XQuAD, KorQuAD 2), and the same questions in lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from qakit.api import Answer, DataError, Example, Problems, without_gz
from qakit.reading.answers import answer_values, read_answer
from qakit.reading.files import load_json
from qakit.reading.record import Record, SkippedRecordError, kind_of
from qakit_readers import SquadSettings
from qakit_readers.columnar import is_parquet, parquet_rows
from qakit_readers.forms import MARKS, demand, entries_of, format_hint, format_of
from qakit_readers.json_table import json_rows

_CONTEXT, _QUESTION, _ID = ("context", "context_text"), ("question", "query_text"), ("id", "query_id")
"""What SQuAD and CMRC's own files call them."""
_ANSWERS = ("answers", "answer")


class SquadReader:
    """``{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers", "is_impossible"}]}]}]}``.

    An entry of ``data`` may also be a paragraph itself (simpletransformers, CMRC's own files, KorQuAD 2), or a single
    question with its context (``run_qa.py`` of transformers); and the list may stand alone, without ``data``, or be
    the rows of Parquet (the hub's editions) or JSON Lines.
    ``Example.document`` is the article's title, else the article's or the paragraph's id.
    """

    def __init__(self, settings: SquadSettings) -> None:
        self._settings = settings

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order."""
        entries = _rows(path) or _listed(load_json(path), path)
        labelled = not problems.predicted_only and self._settings.labelled
        if labelled == "auto":
            # whether any question says that it has, or has not, an answer
            questions = _raw_questions(value for _, value in entries(Problems(path, collect=True)))
            labelled = any(_has_answer(each) or each.get("is_impossible") is not None for each in questions)
        for name, value in entries(problems):
            yield from _entry(value, name, problems, labelled)


def _entry(value: object, row: str, problems: Problems, labelled: bool) -> Iterator[Example]:
    """The questions of an article, of a paragraph that stands alone, or the single question."""
    if isinstance(value, dict) and "paragraphs" not in value:
        if "qas" in value:
            yield from _paragraph(value, row, problems, "", labelled)
            return
        if any(name in value for name in _QUESTION) and any(name in value for name in _CONTEXT):
            yield from _single(value, row, problems, labelled)
            return
    try:
        article = Record.of(value, row, problems, weight=max(1, sum(1 for _ in _raw_questions([value]))))
        demand(article, "paragraphs", "squad")
        paragraphs = article.items("paragraphs")
        title = _name(article, "title", "id")
    except SkippedRecordError:
        return
    for place, paragraph in enumerate(paragraphs):
        yield from _paragraph(paragraph, f"{row}.paragraphs[{place}]", problems, title, labelled)


def _paragraph(value: object, row: str, problems: Problems, title: str, labelled: bool) -> Iterator[Example]:
    questions = value.get("qas") if isinstance(value, dict) else None
    try:
        paragraph = Record.of(value, row, problems, weight=len(questions) if isinstance(questions, list) else 1)
        questions = paragraph.items("qas")
        if not questions:  # an unused paragraph
            return
        context = paragraph.text(paragraph.first_of(*_CONTEXT), empty="empty_context")
        document = title or _name(paragraph, "title", "id", "context_id")
    except SkippedRecordError:
        return
    for number, question in enumerate(questions):
        with suppress(SkippedRecordError):
            yield _question(Record.of(question, f"{row}.qas[{number}]", problems), context, document, labelled)


def _single(value: dict[str, Any], row: str, problems: Problems, labelled: bool) -> Iterator[Example]:
    with suppress(SkippedRecordError):
        record = Record.of(value, row, problems)
        context = record.text(record.first_of(*_CONTEXT), empty="empty_context")
        yield _question(record, context, _name(record, "title"), labelled)


def _question(record: Record, context: str, document: str, labelled: bool) -> Example:
    identifier = record.identifier(record.first_of(*_ID))
    record = record.named(f"id {identifier}")
    question = record.text(record.first_of(*_QUESTION), empty="empty_question")
    answers = _answers(record, context) if labelled else None
    return Example(identifier, question, (context,), answers=answers, document=document)


def _answers(record: Record, context: str) -> tuple[Answer, ...] | None:
    impossible = record.values.get("is_impossible")
    if impossible is not None and not isinstance(impossible, bool):
        record.refuse("wrong_type", "is_impossible", f"should be true or false, not {kind_of(impossible)}")
    field = record.first_of(*_ANSWERS)
    listed = answer_values(record, field) if record.has(field) else None
    if impossible and listed:
        record.judge("is_impossible", "is_impossible", "is true, but the question has answers")
    if impossible is False and not listed:
        record.judge("is_impossible", "is_impossible", "is false, but the question has no answer")
    if listed is None:
        return () if impossible else None
    return tuple(read_answer(record, place, value, context) for place, value in listed)


_Entries = Callable[[Problems], Iterable[tuple[str, Any]]]
"""What a file lists, each entry with its name in messages, from the beginning at each call."""


def _rows(path: Path) -> _Entries | None:
    """The rows of a table; None for a file that is one JSON document."""
    if is_parquet(path):
        return lambda _: ((name, row) for _, name, row in parquet_rows(path))
    if without_gz(path).suffix.lower() in (".jsonl", ".ndjson"):
        return lambda problems: ((name, row) for _, name, row in json_rows(path, problems))
    return None


def _listed(document: Any, path: Path) -> _Entries:
    """What the document lists: articles, paragraphs or questions."""
    entries = entries_of(document)
    if entries is None or document == [] or format_of(document) in ("adl", *MARKS):
        message = f"should be an object with a list 'data', as SQuAD has it{format_hint(document)}"
        raise DataError(message, path=path)
    name = "data[{}]".format if isinstance(document, dict) else lambda number: f"record {number + 1}"
    return lambda _: ((name(number), entry) for number, entry in enumerate(entries))


def _has_answer(question: dict[str, Any]) -> bool:
    for answers in map(question.get, _ANSWERS):
        if answers and not (isinstance(answers, dict) and answers.get("text") == []):
            return True
    return False


def _raw_questions(entries: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Whatever has the shape of a question; nothing is judged yet."""
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        paragraphs = entry.get("paragraphs", [entry])
        for paragraph in paragraphs if isinstance(paragraphs, list) else ():
            questions = paragraph.get("qas", [paragraph]) if isinstance(paragraph, dict) else None
            yield from (item for item in (questions if isinstance(questions, list) else ()) if isinstance(item, dict))


def _name(record: Record, *fields: str) -> str:
    """The first of the fields that holds text or a number; other types are not worth stopping for."""
    for field in fields:
        value = record.values.get(field)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return record.sound(str(value), field)
    return ""
