"""SQuAD 1.1 and 2.0, and data sets in their shape: DRCD, CMRC 2018, XQuAD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qakit.api import Answer, DataError, Example, Problems
from qakit_readers.answers import place_answer
from qakit_readers.files import load_json
from qakit_readers.record import Record, SkippedRecordError, kind_of, whole_number
from qakit_readers.settings import SquadSettings


class SquadReader:
    """``{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers", "is_impossible"}]}]}]}``.

    ``Example.document`` is the article's title, else the article's or the paragraph's id.
    """

    def __init__(self, settings: SquadSettings) -> None:
        self._settings = settings

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order."""
        articles = _articles(load_json(path), path)
        labelled = _has_labels(articles) if self._settings.labelled == "auto" else self._settings.labelled
        labelled = labelled and not problems.predicted_only
        for number, value in enumerate(articles):
            try:
                article = Record.of(value, f"data[{number}]", problems, weight=_questions_in(value))
                paragraphs = article.items("paragraphs")
                title = _name(article, "title", "id")
            except SkippedRecordError:
                continue
            for place, paragraph in enumerate(paragraphs):
                yield from _paragraph(paragraph, f"data[{number}].paragraphs[{place}]", problems, title, labelled)


def _paragraph(value: object, row: str, problems: Problems, title: str, labelled: bool) -> Iterator[Example]:
    questions = value.get("qas") if isinstance(value, dict) else None
    try:
        paragraph = Record.of(value, row, problems, weight=len(questions) if isinstance(questions, list) else 1)
        questions = paragraph.items("qas")
        if not questions:  # an unused paragraph
            return
        context = paragraph.text("context", empty="empty_context")
        document = title or _name(paragraph, "title", "id")
    except SkippedRecordError:
        return
    for number, question in enumerate(questions):
        try:
            yield _question(question, f"{row}.qas[{number}]", problems, context, document, labelled)
        except SkippedRecordError:
            continue


def _question(value: object, row: str, problems: Problems, context: str, document: str, labelled: bool) -> Example:
    record = Record.of(value, row, problems)
    identifier = record.identifier()
    record = record.named(f"id {identifier}")
    question = record.text("question", empty="empty_question")
    answers = _answers(record, context) if labelled else None
    return Example(identifier, question, (context,), answers=answers, document=document)


def _answers(record: Record, context: str) -> tuple[Answer, ...] | None:
    impossible = record.values.get("is_impossible")
    if impossible is not None and not isinstance(impossible, bool):
        record.refuse("wrong_type", "is_impossible", f"should be true or false, not {kind_of(impossible)}")
    listed = record.items("answers") if record.has("answers") else None
    if impossible and listed:
        record.judge("is_impossible", "is_impossible", "is true, but the question has answers")
    if impossible is False and not listed:
        record.judge("is_impossible", "is_impossible", "is false, but the question has no answer")
    if listed is None:
        return () if impossible else None
    placed = []
    for number, value in enumerate(listed):
        answer = record.child(value, f"answers[{number}]")
        text, start = answer.text("text"), _start(answer)
        if start is None:
            placed.append(Answer(text, None))
            continue
        placed.append(place_answer(text, start, context, record=answer, field="answer_start", named="text"))
    return tuple(placed)


def _start(answer: Record) -> int | None:
    """The claimed offset; None where the policy keeps answers that have none."""
    start = answer.values.get("answer_start")
    if (number := whole_number(start)) is not None:
        return number
    problem = (
        f"should be a whole number, not {kind_of(start)}" if "answer_start" in answer.values else "the field is missing"
    )
    answer.judge("answer_start", "answer_start", problem)
    return None


def _articles(document: Any, path: Path) -> list[Any]:
    articles = document.get("data") if isinstance(document, dict) else None
    if isinstance(articles, list):
        return articles
    hint = ""
    if isinstance(document, dict) and {"questions", "paragraphs"} <= document.keys():
        hint = "; this looks like the hw7 format"
    elif isinstance(document, list) and document and isinstance(document[0], dict) and "paragraphs" in document[0]:
        hint = "; this looks like the adl format"
    raise DataError(f"should be an object with a list 'data', as SQuAD has it{hint}", path=path)


def _has_labels(articles: list[Any]) -> bool:
    """Whether any question says that it has, or has not, an answer."""
    return any(
        question.get("answers") or question.get("is_impossible") is not None for question in _raw_questions(articles)
    )


def _questions_in(article: object) -> int:
    return max(1, sum(1 for _ in _raw_questions([article])))


def _raw_questions(articles: list[Any]) -> Iterator[dict[str, Any]]:
    """Whatever has the shape of a question; nothing is judged yet."""
    for article in articles:
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        for paragraph in paragraphs if isinstance(paragraphs, list) else ():
            questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
            yield from (item for item in (questions if isinstance(questions, list) else ()) if isinstance(item, dict))


def _name(record: Record, *fields: str) -> str:
    """The first of the fields that holds text or a number; other types are not worth stopping for."""
    for field in fields:
        value = record.values.get(field)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return record.sound(str(value), field)
    return ""
