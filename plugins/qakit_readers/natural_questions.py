"""Natural Questions in its simplified form, that of Kaggle's TensorFlow 2.0 Question Answering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qakit.api import YES_NO, Answer, Example, Problems
from qakit.reading.record import Record, SkippedRecordError, quoted
from qakit_readers.forms import demand
from qakit_readers.json_table import json_lines
from qakit_readers.several import answer_between
from qakit_readers.tokens import Tokens

_AGREED = 2
"""Annotators, of several, who must have found an answer; fewer are a question without one."""
_Range = tuple[int, int]
"""[first, stop) tokens of the document."""


class NaturalQuestionsReader:
    """Lines ``{"example_id", "question_text", "document_text", "long_answer_candidates": [{"start_token", "end_token",
    "top_level"}], "annotations": [{"long_answer", "short_answers", "yes_no_answer"}]}``.

    ``Example.contexts`` are the texts of the top-level candidates in the file's order, tags included; of a document
    without any, the whole text. ``relevant`` is the long answer: the candidate that most annotators chose (one around
    it, where theirs is nested). The short answers of all annotators lie within; ``yes`` and ``no`` have no place. A
    question with a long answer alone has no ``answers``, and one without annotations is unlabelled.
    """

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order, reading as they are asked for."""
        for row, value in json_lines(path):
            with suppress(SkippedRecordError):
                yield _question(Record.of(value, row, problems))


@dataclass(frozen=True, slots=True)
class _Document:
    """A document's tokens, and which of them, [first, stop), are the contexts."""

    tokens: Tokens
    passages: Sequence[_Range]
    contexts: tuple[str, ...]

    @classmethod
    def of(cls, record: Record) -> _Document:
        text = record.text("document_text", empty="empty_context")
        tokens = Tokens.of(text)
        passages = _passages(record, tokens) or [(0, len(tokens))]
        return cls(tokens, passages, tuple(text[slice(*tokens.characters(*passage))] for passage in passages))

    def row_around(self, first: int, stop: int) -> int | None:
        """The first context that holds these tokens."""
        return next((row for row, (begin, end) in enumerate(self.passages) if begin <= first < stop <= end), None)

    def within(self, first: int, stop: int, row: int) -> tuple[int, int]:
        """[start, end) characters of a context, of tokens that it holds."""
        start, end = self.tokens.characters(first, stop)
        begin, _ = self.tokens.characters(*self.passages[row])
        return start - begin, end - begin


def _question(record: Record) -> Example:
    demand(record, "document_text", "natural_questions")
    identifier = record.identifier("example_id")
    record = record.named(f"id {identifier}")
    question = record.text("question_text", empty="empty_question")
    document = _Document.of(record)
    if record.problems.predicted_only or not record.has("annotations") or not record.items("annotations"):
        return Example(identifier, question, document.contexts)
    relevant, answers = _annotated(record, document)
    return Example(identifier, question, document.contexts, answers=answers, relevant=relevant)


def _passages(record: Record, tokens: Tokens) -> list[_Range]:
    """The top-level candidates; where the file does not say which those are, all."""
    found = []
    for number, value in enumerate(record.items("long_answer_candidates")):
        candidate = record.child(value, f"long_answer_candidates[{number}]")
        if candidate.values.get("top_level", True) is not False:
            found.append(_range(candidate, tokens))
    return found


def _range(record: Record, tokens: Tokens) -> _Range:
    first, stop = record.integer("start_token"), record.integer("end_token")
    if not 0 <= first < stop <= len(tokens):
        message = f"there are no tokens {first} to {stop} in a document of {len(tokens)}"
        record.refuse("bad_reference", "end_token", message)
    return first, stop


def _annotated(record: Record, document: _Document) -> tuple[int | None, tuple[Answer, ...]]:
    """The long answer's context, and the short answers, those within it first."""
    annotations = [
        record.child(value, f"annotations[{number}]") for number, value in enumerate(record.items("annotations"))
    ]
    least = min(_AGREED, len(annotations))
    chosen = [row for each in annotations if (row := _long(each, document)) is not None]
    relevant = Counter(chosen).most_common(1)[0][0] if len(chosen) >= least else None
    short = [found for each in annotations if (found := _short(each, document))]
    answers = dict.fromkeys(answer for found in short for answer in found) if len(short) >= least else ()
    return relevant, tuple(sorted(answers, key=lambda answer: answer.context != relevant))


def _long(annotation: Record, document: _Document) -> int | None:
    answer = annotation.child(annotation.get("long_answer"), "long_answer")
    if answer.integer("start_token") < 0:
        return None
    return _holding(answer, document, *_range(answer, document.tokens))


def _short(annotation: Record, document: _Document) -> list[Answer]:
    """One annotator's short answers, or yes or no."""
    decided = annotation.text("yes_no_answer") if annotation.has("yes_no_answer") else "NONE"
    if decided.lower() in YES_NO:
        return [Answer(decided.lower(), None, _long(annotation, document) or 0)]
    if decided != "NONE":
        annotation.refuse("bad_label", "yes_no_answer", f"should be YES, NO or NONE, not {quoted(decided)}")
    found = []
    for number, value in enumerate(annotation.items("short_answers") if annotation.has("short_answers") else []):
        answer = annotation.child(value, f"short_answers[{number}]")
        first, stop = _range(answer, document.tokens)
        row = _holding(answer, document, first, stop)
        start, end = document.within(first, stop, row)
        found.append(answer_between(answer, "start_token", start, end, document.contexts[row], index=row))
    return found


def _holding(record: Record, document: _Document, first: int, stop: int) -> int:
    row = document.row_around(first, stop)
    if row is None:
        message = f"the tokens {first} to {stop} are in no candidate for a long answer"
        record.refuse("bad_reference", "start_token", message)
    return row
