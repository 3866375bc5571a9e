"""The reader, made of the parts of `qakit.reading`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qakit.api import Answer, DataError, Example, Problems
from qakit.reading import Record, SkippedRecordError, parse_json, place_answer, text_lines


class MrqaLines:
    """``{"context": ..., "qas": [{"qid", "question", "detected_answers": [{"text", "char_spans": [[first, last]]}]}]}``

    The first line may be ``{"header": ...}``. A question without ``detected_answers`` is unlabelled.
    """

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """The questions in order; offsets are characters of the context."""
        for number, line in text_lines(path):
            row = f"line {number}"
            try:
                record = Record.of(parse_json(line), row, problems)
            except json.JSONDecodeError as error:
                raise DataError(f"is no JSON: {error}", path=path, row=row) from None
            except SkippedRecordError:
                continue
            if not record.has("header"):
                yield from self._questions(record)

    def _questions(self, record: Record) -> Iterator[Example]:
        with suppress(SkippedRecordError):  # the policy leaves the context out, questions and all
            context, questions = record.text("context", empty="empty_context"), record.items("qas")
            for number, value in enumerate(questions):
                with suppress(SkippedRecordError):
                    question = record.child(value, f"qas[{number}]")
                    text = question.text("question", empty="empty_question")
                    labelled = question.has("detected_answers") and not record.problems.predicted_only
                    answers = self._answers(question, context) if labelled else None
                    yield Example(question.identifier("qid"), text, (context,), answers)

    def _answers(self, question: Record, context: str) -> tuple[Answer, ...]:
        found = []
        for number, value in enumerate(question.items("detected_answers")):
            answer = question.child(value, f"detected_answers[{number}]")
            match answer.items("char_spans"):
                case [[int(first), _], *_]:
                    start: int | None = first
                case _:
                    start = None
            text = answer.text("text")
            found.append(place_answer(text, start, context, record=answer, field="char_spans", named="text"))
        return tuple(found)
