"""HotpotQA: a question with several paragraphs, of which it takes two to answer it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from qakit.api import YES_NO, Answer, Example, Problems
from qakit.reading.record import Record, SkippedRecordError, kind_of
from qakit_readers import HotpotSettings
from qakit_readers.forms import demand
from qakit_readers.json_table import object_rows
from qakit_readers.several import place_anywhere, table_of


class HotpotReader:
    """``[{"_id", "question", "answer", "context": [[title, [sentence]]], "supporting_facts": [[title, number]]}]``,
    also as the hub has it (``id``; ``context`` and ``supporting_facts`` as objects of lists).

    An answer is looked for in the paragraphs that support it, in the others only if none of those has it. ``yes`` and
    ``no`` are answers without a place. ``relevant`` is the paragraph with the answer where a single one has it.
    """

    def __init__(self, settings: HotpotSettings) -> None:
        self._titles = settings.titles

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order."""
        for _, row, values in object_rows(path, problems):
            with suppress(SkippedRecordError):
                yield self._question(Record.of(values, row, problems))

    def _question(self, record: Record) -> Example:
        demand(record, "context", "hotpotqa")
        identifier = record.identifier(record.first_of("_id", "id"))
        record = record.named(f"id {identifier}")
        question = record.text("question", empty="empty_question")
        paragraphs = table_of(record, "context", "title", "sentences")
        titles = [_text(record, f"context[{row}]", title) for row, (title, _) in enumerate(paragraphs)]
        texts = [_joined(record, f"context[{row}]", sentences) for row, (_, sentences) in enumerate(paragraphs)]
        if not texts:
            record.refuse("bad_reference", "context", "the question has no paragraphs")
        if self._titles:
            texts = [f"{title}\n{text}" for title, text in zip(titles, texts, strict=True)]
        if record.problems.predicted_only or not record.has("answer"):
            return Example(identifier, question, tuple(texts))
        supporting = [title for title, _ in table_of(record, "supporting_facts", "title", "sent_id")]
        support = [row for row, title in enumerate(titles) if title in supporting]
        answers, relevant = _answers(record, texts, support)
        return Example(identifier, question, tuple(texts), answers=answers, relevant=relevant)


def _answers(record: Record, texts: Sequence[str], support: Sequence[int]) -> tuple[tuple[Answer, ...], int | None]:
    """The answer, and the only paragraph that has it."""
    answer = record.text("answer", empty="empty_answer")
    if not answer.strip() or answer.strip().lower() in YES_NO:
        return (Answer(answer.strip().lower(), None, next(iter(support), 0)),), None
    holding = [row for row in support if answer in texts[row]]
    rows = holding or [row for row, text in enumerate(texts) if answer in text]
    answers = place_anywhere((answer,), texts, record=record, field="answer", rows=rows or None)
    return answers, rows[0] if len(rows) == 1 else None


def _text(record: Record, field: str, value: object) -> str:
    if not isinstance(value, str):
        record.refuse("wrong_type", field, f"should hold a title as text, not {kind_of(value)}")
    return record.sound(value, field)


def _joined(record: Record, field: str, sentences: object) -> str:
    """A paragraph's text; its sentences begin with their blank."""
    if not isinstance(sentences, list):
        record.refuse("wrong_type", field, f"should hold a list of sentences, not {kind_of(sentences)}")
    text = ""
    for sentence in sentences:
        if not isinstance(sentence, str):
            record.refuse("wrong_type", field, f"should hold sentences as text, not {kind_of(sentence)}")
        text += sentence if not text or text[-1].isspace() or sentence[:1].isspace() else f" {sentence}"
    return record.sound(text, field)
