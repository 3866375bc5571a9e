"""TriviaQA: questions with an answer's names and the documents that were found for them, without offsets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from os.path import isfile, normpath
from pathlib import Path
from typing import Any

from qakit.api import Answer, DataError, Example, Problems
from qakit.reading.files import load_json, load_text
from qakit.reading.record import Record, SkippedRecordError, kind_of, quoted
from qakit_readers import TriviaSettings
from qakit_readers.columnar import is_parquet
from qakit_readers.forms import demand, format_hint
from qakit_readers.json_table import object_rows
from qakit_readers.several import place_anywhere, table_of

_SOURCES = (
    (("EntityPages", "entity_pages"), ("Filename", "filename"), ("wiki_context",), "wikipedia"),
    (("SearchResults", "search_results"), ("Filename", "filename"), ("search_context",), "web"),
)
"""Fields of a record that list documents, with those of a file's name and of a text, and the folder of such files."""


class TriviaReader:
    """``{"Data": [{"QuestionId", "Question", "Answer": {"Value", "Aliases"}, "EntityPages": [{"Filename"}],
    "SearchResults": [{"Filename"}]}]}`` with the documents in ``evidence/wikipedia`` and ``evidence/web``, or the rows
    of the hub's edition (``question_id`` ...), which hold the documents.

    The answer is right wherever a document has one of its names. Ids of examples with one document each are
    ``QuestionId--Filename``, as the official evaluation has them. ``Example.document`` is the question's id.
    """

    def __init__(self, settings: TriviaSettings) -> None:
        self._settings = settings

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order, with each document or with all."""
        for row, value in _entries(path, problems):
            with suppress(SkippedRecordError):
                yield from self._question(Record.of(value, row, problems), path)

    def _question(self, record: Record, path: Path) -> Iterator[Example]:
        field = record.first_of("QuestionId", "question_id")
        demand(record, field, "triviaqa")
        identifier = record.identifier(field)
        record = record.named(f"id {identifier}")
        question = record.text(record.first_of("Question", "question"), empty="empty_question")
        names = None if record.problems.predicted_only else _names(record)
        documents = list(self._documents(record, path))
        if not documents:
            message = "the question has no documents; the editions without context hold nothing to find answers in"
            record.refuse("bad_reference", record.first_of("EntityPages", "entity_pages"), message)
        if self._settings.together:
            texts = tuple(text for _, text in documents)
            yield Example(identifier, question, texts, answers=_answers(record, names, texts), document=identifier)
            return
        for name, text in documents:
            with suppress(SkippedRecordError):
                single = record.named(f"id {identifier}--{name}")
                answers = _answers(single, names, (text,))
                yield Example(f"{identifier}--{name}", question, (text,), answers=answers, document=identifier)

    def _documents(self, record: Record, path: Path) -> Iterator[tuple[str, str]]:
        """Name and text of each document, those of Wikipedia first; none twice."""
        seen = set()
        for fields, names, texts, folder in _SOURCES:
            field = record.first_of(*fields)
            for number, row in enumerate(table_of(record, field, *names, *texts)):
                name = next((value for value in row[: len(names)] if value is not None), None)
                text = row[-1]
                place = f"{field}[{number}]"
                if not isinstance(name, str) or not isinstance(text, str | None):
                    message = f"should name a file as text, not {kind_of(name)}"
                    record.refuse("wrong_type", place, message)
                name = record.sound(name, place)
                if (folder, name) in seen:
                    continue
                seen.add((folder, name))
                if text is None:
                    below = Path(normpath(path.parent / self._settings.evidence / folder))
                    text = _evidence(record, place, below, name)
                if text.strip():
                    yield name, record.sound(text, place)


def _evidence(record: Record, place: str, folder: Path, name: str) -> str:
    """The text of a file; only those below the folder are opened, whatever the name says."""
    file = folder / name
    if "\0" in name or not file.resolve().is_relative_to(folder.resolve()):
        record.refuse("bad_reference", place, f"the document {quoted(name)} is not in the folder {folder}")
    if not folder.is_dir():
        message = f"the folder {folder} with this data's documents is missing"
        advice = "the reader's setting `evidence` says where `web` and `wikipedia` are"
        raise DataError(f"{message}; {advice}", path=record.problems.path, row=record.row)
    if not isfile(file):  # noqa: PTH113 - also False for a name that no file can have
        record.refuse("bad_reference", place, f"there is no document {quoted(name)} in {folder}")
    return load_text(file)


def _entries(path: Path, problems: Problems) -> Iterator[tuple[str, Any]]:
    if not is_parquet(path) and not path.name.removesuffix(".gz").lower().endswith((".jsonl", ".ndjson")):
        document = load_json(path)
        entries = document.get("Data") if isinstance(document, dict) else document
        if not isinstance(entries, list):
            message = f"should be an object with a list 'Data', as TriviaQA has it{format_hint(document)}"
            raise DataError(message, path=path)
        yield from ((f"Data[{number}]", entry) for number, entry in enumerate(entries))
        return
    for _, name, row in object_rows(path, problems):
        yield name, row


def _names(record: Record) -> list[str] | None:
    """The answer's names, the usual one first; None in a test file."""
    field = record.first_of("Answer", "answer")
    if not record.has(field):
        return None
    answer = record.child(record.values[field], field)
    usual = answer.first_of("Value", "value")
    if answer.values.get(usual) in (None, "<unk>"):  # as the hub's test split has it
        return None
    names = [answer.text(usual)]
    for more in ("Aliases", "aliases", "HumanAnswers"):
        listed = answer.items(more) if answer.has(more) else []
        for number, name in enumerate(listed):
            if not isinstance(name, str):
                answer.refuse("wrong_type", f"{more}[{number}]", f"should be text, not {kind_of(name)}")
            names.append(answer.sound(name, more))
    names = [name for name in names if name.strip()]
    if not names:
        answer.judge("empty_answer", usual, "the answer has no text")
    return names


def _answers(record: Record, names: list[str] | None, texts: tuple[str, ...]) -> tuple[Answer, ...] | None:
    if names is None:
        return None
    field = record.first_of("Answer", "answer")
    return place_anywhere(names, texts, record=record, field=field) if names else (Answer("", None),)
