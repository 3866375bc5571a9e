"""NTU Applied Deep Learning: a question with several paragraphs, one of them relevant; texts in a file of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from qakit.api import Answer, DataError, Example, Problems
from qakit.reading.answers import read_answer
from qakit.reading.files import load_json, unreadable
from qakit.reading.record import Record, SkippedRecordError, kind_of, whole_number
from qakit_readers import AdlSettings
from qakit_readers.forms import format_hint, format_of


class AdlReader:
    """``[{"id", "question", "paragraphs": [numbers], "relevant": number, "answer": {"text", "start"}}]``; in 2021
    ``"answers": [{"text", "start"}]``. Test files lack the last two.

    The numbers point into the contexts file, a list of texts. ``Example.contexts`` are the question's paragraphs in
    its order, ``relevant`` and ``Answer.context`` count within them, and ``Example.document`` is the relevant
    paragraph's number in the contexts file.
    """

    def __init__(self, settings: AdlSettings) -> None:
        self._settings = settings
        self._loaded: dict[tuple[Path, int, int], list[Any]] = {}

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order."""
        records = load_json(path)
        if not isinstance(records, list) or format_of(records) == "squad":
            message = f"should be a list of questions, as ADL has it, not {kind_of(records)}{format_hint(records)}"
            raise DataError(message, path=path)
        contexts = self._contexts(path)
        problems.opened(path.parent / self._settings.contexts)
        for number, value in enumerate(records):
            with suppress(SkippedRecordError):
                record = Record.of(value, f"record {number + 1}", problems)
                identifier = record.identifier()
                yield self._question(record.named(f"id {identifier}"), identifier, contexts)

    def _contexts(self, path: Path) -> list[Any]:
        """The contexts file beside ``path``; read once for all splits."""
        file = path.parent / self._settings.contexts
        try:
            stat = file.stat()
        except FileNotFoundError:
            message = (
                f"the contexts file {file} of this data is missing; the reader's setting `contexts` names it, "
                "and --contexts where one file is predicted"
            )
            raise DataError(message, path=path) from None
        except OSError as error:
            raise unreadable(file, error) from None
        key = (file, stat.st_mtime_ns, stat.st_size)
        if key not in self._loaded:
            contexts = load_json(file)
            if not isinstance(contexts, list):
                raise DataError(f"should be a list of paragraphs, not {kind_of(contexts)}", path=file)
            self._loaded = {key: contexts}
        return self._loaded[key]

    def _question(self, record: Record, identifier: str, contexts: list[Any]) -> Example:
        numbers = _paragraphs(record, len(contexts))
        wanted = self._settings.paragraphs
        if wanted is not None and len(numbers) != wanted:
            record.judge(
                "paragraph_count", "paragraphs", f"there are {len(numbers)} paragraphs where {wanted} are promised"
            )
        texts = tuple(_text(record, contexts, number) for number in numbers)
        question = record.text("question", empty="empty_question")
        relevant = _relevant(record, numbers)
        return Example(
            identifier,
            question,
            texts,
            answers=_answers(record, texts, relevant),
            relevant=relevant,
            document="" if relevant is None else str(numbers[relevant]),
        )


def _paragraphs(record: Record, available: int) -> list[int]:
    listed = record.items("paragraphs")
    numbers = []
    for place, value in enumerate(listed):
        field = f"paragraphs[{place}]"
        if (number := whole_number(value)) is None:
            record.refuse("wrong_type", field, f"should be a whole number, not {kind_of(value)}")
        numbers.append(number)
        if not 0 <= number < available:
            record.refuse("bad_reference", field, f"there is no paragraph {number}; the last is {available - 1}")
    if not numbers:
        record.refuse("bad_reference", "paragraphs", "the question has no paragraphs")
    return numbers


def _text(record: Record, contexts: list[Any], number: int) -> str:
    field = f"contexts[{number}]"
    return Record({field: contexts[number]}, record.row, record.problems).text(field, empty="empty_context")


def _relevant(record: Record, numbers: list[int]) -> int | None:
    if record.problems.predicted_only or not record.has("relevant"):
        return None
    relevant = record.integer("relevant")
    if relevant not in numbers:
        record.refuse("bad_reference", "relevant", f"paragraph {relevant} is not among the question's paragraphs")
    return numbers.index(relevant)


def _answers(record: Record, texts: tuple[str, ...], relevant: int | None) -> tuple[Answer, ...] | None:
    if record.problems.predicted_only:
        return None
    if record.has("answer"):
        listed = [("answer", record.values["answer"])]
    elif record.has("answers"):
        listed = [(f"answers[{number}]", value) for number, value in enumerate(record.items("answers"))]
    else:
        return None
    if relevant is None and listed:
        record.refuse("missing_field", "relevant", "there is an answer, but not the paragraph that holds it")
    index = relevant or 0
    return tuple(
        read_answer(record, place, value, texts[index], start_field="start", index=index) for place, value in listed
    )
