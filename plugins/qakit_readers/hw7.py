"""NTU Machine Learning HW7: questions beside paragraphs; ``answer_end`` is the last character, inclusive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from qakit.api import Answer, DataError, Example, Problems
from qakit.reading.answers import place_answer, start_of
from qakit.reading.files import load_json
from qakit.reading.record import Record, SkippedRecordError, kind_of, quoted
from qakit_readers.forms import format_hint

_ANSWER_FIELDS = ("answer_text", "answer_start", "answer_end")


class Hw7Reader:
    """``{"questions": [{"id", "paragraph_id", "question_text", "answer_text", "answer_start", "answer_end"}],
    "paragraphs": [text]}``.

    Answers that are null, absent or the text ``"null"`` make a question unlabelled. ``Example.document`` is the
    paragraph's number.
    """

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order."""
        questions, paragraphs = _parts(load_json(path), path)
        for number, value in enumerate(questions):
            with suppress(SkippedRecordError):
                yield _question(Record.of(value, f"questions[{number}]", problems), paragraphs)


def _question(record: Record, paragraphs: list[Any]) -> Example:
    identifier = record.identifier()
    record = record.named(f"id {identifier}")
    index = record.integer("paragraph_id")
    if not 0 <= index < len(paragraphs):
        record.refuse(
            "bad_reference", "paragraph_id", f"there is no paragraph {index}; the last is {len(paragraphs) - 1}"
        )
    paragraph = Record({f"paragraphs[{index}]": paragraphs[index]}, record.row, record.problems)
    context = paragraph.text(f"paragraphs[{index}]", empty="empty_context")
    question = record.text("question_text", empty="empty_question")
    return Example(identifier, question, (context,), answers=_answers(record, context), document=str(index))


def _answers(record: Record, context: str) -> tuple[Answer, ...] | None:
    if record.problems.predicted_only:
        return None
    absent = [record.values.get(field) in (None, "null") for field in _ANSWER_FIELDS]
    if absent[1] and absent[2] and (absent[0] or record.values.get("answer_text") == ""):
        return None
    if record.values.get("answer_text") is None:
        record.refuse("contradiction", "answer_text", "there is an offset, but no text")
    text = record.text("answer_text")
    start = None if absent[1] else start_of(record, "answer_start")
    answer = place_answer(
        text, start, context, record=record, field="answer_start", named="answer_text", offsets_expected=True
    )
    if answer.start is not None and answer.start == start and not absent[2]:
        _check_last(record, answer.start + len(text) - 1)
    return (answer,)


def _check_last(record: Record, last: int) -> None:
    if (claimed := record.integer("answer_end")) != last:
        message = f"is {claimed}, but {quoted(record.values['answer_text'])} at answer_start ends at {last} (inclusive)"
        record.judge("answer_end", "answer_end", message, repairable=True)


def _parts(document: Any, path: Path) -> tuple[list[Any], list[Any]]:
    if not isinstance(document, dict):
        message = f"should be an object with 'questions' and 'paragraphs', not {kind_of(document)}"
        raise DataError(f"{message}{format_hint(document)}", path=path)
    for field in ("questions", "paragraphs"):
        if not isinstance(document.get(field), list):
            raise DataError(f"should be a list, as HW7 has it{format_hint(document)}", path=path, field=field)
    return document["questions"], document["paragraphs"]
