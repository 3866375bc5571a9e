"""Exports of annotation tools: documents with labelled spans; each label is a question, or a document has one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from qakit.api import Answer, DataError, Example, Problems
from qakit.reading.answers import place_answer
from qakit.reading.files import load_json, load_text, text_lines
from qakit.reading.record import Record, SkippedRecordError, kind_of, quoted
from qakit_readers import BratSettings, LabelStudioSettings
from qakit_readers.forms import demand, entries_of, format_hint
from qakit_readers.several import answer_between

_CONFIGURATION = "annotation.conf"
_SECTION = re.compile(r"\[(\w+)\]")
_ANNOTATION = re.compile(r"([A-Za-z#][0-9]+\S*|\*)\t")
_SPAN = re.compile(r"(\S+) ([0-9]{1,9} [0-9]{1,9}(?:;[0-9]{1,9} [0-9]{1,9})*)")


@dataclass(frozen=True, slots=True)
class _Text:
    """A document with the answers to each label; None where nobody has annotated it."""

    id: str
    text: str
    spans: Mapping[str, Sequence[Answer]] | None


def _questions(document: _Text, labels: Iterable[str], *, name: str) -> Iterator[Example]:
    """Each label asked of the text: where no span has it, there is no answer.

    Args:
        name: what the examples come from.
    """
    for label in labels:
        spans = document.spans
        answers = None if spans is None else tuple(dict.fromkeys(spans.get(label, ())))
        yield Example(f"{document.id}:{label}", label, (document.text,), answers=answers, document=name)


class BratReader:
    """``NAME.ann`` with lines ``T1<TAB>Type 0 5<TAB>text`` beside ``NAME.txt``; or ``annotation.conf``, for all such
    files in its folder and those below that are not hidden.

    Each type is a question to each text; its spans are the answers, of discontinuous ones the text alone. Types are
    those of the configuration (the one in the nearest folder above), else those in the file.
    """

    def __init__(self, settings: BratSettings) -> None:
        self._types = settings.types

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions, document by document, in the order of their names."""
        for file in _files(path):
            name = file.relative_to(path.parent).with_suffix("").as_posix()
            with suppress(SkippedRecordError):
                text = load_text(_beside(file, path.parent))
                Record({"": text}, f"{name}.txt", problems).text("", empty="empty_context")
                spans = None if problems.predicted_only else _of_brat(file, text, problems, name)
                yield from _questions(_Text(name, text, spans), self._types or types_in(file), name=name)


def _files(path: Path) -> list[Path]:
    if path.name != _CONFIGURATION:
        if path.suffix != ".ann":
            raise DataError(f"should be a file .ann or {_CONFIGURATION}, as brat has them", path=path)
        return [path]
    found = (file for file in path.parent.rglob("*.ann") if not _is_hidden(file.relative_to(path.parent)))
    if not (files := sorted(found)):
        raise DataError("there is no .ann file in its folder, nor below", path=path)
    return files


def _is_hidden(file: Path) -> bool:
    """Whether it is a copy that a system keeps for itself (``._NAME``, ``.ipynb_checkpoints``)."""
    return any(part.startswith(".") for part in file.parts)


def _beside(file: Path, folder: Path) -> Path:
    """The text of a file with annotations; only those below the folder are opened, wherever links lead.

    Raises:
        DataError: it is a link that leads out of the folder.
    """
    text = file.with_suffix(".txt")
    if not text.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"is a link that leads out of {folder}: put the file itself there", path=text)
    return text


def _annotations(file: Path) -> Iterator[str]:
    """The lines of a file, which is empty where nothing is annotated."""
    if file.stat().st_size:
        yield from (line for _, line in text_lines(file))


def _of_brat(file: Path, text: str, problems: Problems, name: str) -> dict[str, list[Answer]]:
    """The spans of each type; other annotations (relations, events, attributes, notes) are skipped."""
    spans: dict[str, list[Answer]] = {}
    for number, line in enumerate(_annotations(file), start=1):
        identifier, _, rest = line.partition("\t")
        place, _, claimed = rest.partition("\t")
        record = Record({identifier: claimed}, f"{name}.ann, line {number}", problems)
        if line.strip() and not _ANNOTATION.match(line):
            record.refuse("wrong_type", "", f"should begin with a name such as T1 and a tab, not with {quoted(line)}")
        if not line.startswith("T"):
            continue
        found = _SPAN.fullmatch(place.strip())
        if found is None:
            record.refuse("wrong_type", identifier, f"should be a type with characters, not {kind_of(place)}")
        pieces = [(int(start), int(end)) for start, end in (each.split() for each in found[2].split(";"))]
        spans.setdefault(found[1], []).append(_placed(record, identifier, claimed, pieces, text))
    return spans


def _placed(record: Record, field: str, claimed: str, pieces: Sequence[tuple[int, int]], text: str) -> Answer:
    """The answer of some pieces of a text: pieces with nothing but line ends between them are one."""
    start, end = pieces[0][0], pieces[-1][1]
    if not claimed.strip() and len(pieces) == 1:  # the file need not repeat the text
        return answer_between(record, field, start, end, text)
    between = [text[stop:first] for (_, stop), (first, _) in pairwise(pieces)]
    if all(not gap.strip() for gap in between) and text[start:end].split() == claimed.split():
        return answer_between(record, field, start, end, text)
    if len(pieces) > 1:
        record.judge("answer_missing", field, f"is in {len(pieces)} pieces, and no single span of the text")
        return Answer(claimed, None)
    return place_answer(claimed, start, text, record=record, field=field, offsets_expected=True)


def types_in(path: Path) -> list[str]:
    """The types that :class:`BratReader` asks for by default of a file, or of all files below a configuration."""
    above = (folder / _CONFIGURATION for folder in path.absolute().parents)
    nearest = next((file for file in above if file.is_file()), None)
    if nearest and (types := list(dict.fromkeys(_entities(nearest)))):
        return types
    lines = (line.split("\t") for file in _files(path) for line in _annotations(file))
    return list(dict.fromkeys(cells[1].split(" ")[0] for cells in lines if cells[0].startswith("T") and cells[1:]))


def _entities(path: Path) -> Iterator[str]:
    section = ""
    for _, line in text_lines(path):
        entry = line.strip().lstrip("!-").strip()
        if found := _SECTION.fullmatch(entry):
            section = found[1]
        elif section == "entities" and entry and not entry.startswith(("#", "<")) and not line.lstrip().startswith("!"):
            yield entry.split()[0]


class LabelStudioReader:
    """``[{"id", "data": {"text"}, "annotations": [{"result": [{"value": {"start", "end", "text", "labels"}}]}]}]``.

    Without ``question`` each label is asked of each text; with it each task has one question, whose answers are the
    spans of all labels. The spans of all annotators are answers. A task that nobody has annotated is unlabelled.
    """

    def __init__(self, settings: LabelStudioSettings) -> None:
        self._settings = settings

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the questions in order."""
        document = load_json(path)
        tasks = entries_of(document)
        if tasks is None:
            message = (
                f"should be a list of tasks with 'data', as Label Studio's export JSON has it{format_hint(document)}"
            )
            raise DataError(message, path=path)
        labels = self._settings.labels or list(labels_in(tasks))
        for number, task in enumerate(tasks):
            with suppress(SkippedRecordError):
                yield from self._task(Record.of(task, f"task {number + 1}", problems), labels)

    def _task(self, task: Record, labels: Sequence[str]) -> Iterator[Example]:
        demand(task, "data", "label_studio")
        if not labels and self._settings.question is None:
            message = "no span in the file has a label: name those to ask for with the reader's `labels`"
            raise DataError(message, path=task.problems.path)
        identifier = task.identifier()
        task = task.named(f"id {identifier}")
        data = task.child(task.get("data"), "data")
        text = data.text(self._settings.text, empty="empty_context")
        spans = None if task.problems.predicted_only else _of_task(task, text)
        if self._settings.question is None:
            yield from _questions(_Text(identifier, text, spans), labels, name=identifier)
            return
        question = data.text(self._settings.question, empty="empty_question")
        wanted = [answer for label in labels for answer in (spans or {}).get(label, ())]
        answers = None if spans is None else tuple(dict.fromkeys(wanted))
        yield Example(identifier, question, (text,), answers=answers, document=identifier)


def _of_task(task: Record, text: str) -> dict[str, list[Answer]] | None:
    """The spans of each label, of all annotators who finished; None without any."""
    listed = task.items("annotations") if task.has("annotations") else []
    annotations = [task.child(value, f"annotations[{number}]") for number, value in enumerate(listed)]
    finished = [each for each in annotations if not each.values.get("was_cancelled")]
    spans: dict[str, list[Answer]] = {}
    for annotation in finished:
        for number, value in enumerate(annotation.items("result")):
            result = annotation.child(value, f"result[{number}]")
            if not _is_span(result.values):
                continue
            span = result.child(result.values["value"], "value")
            answer = _span(span, text)
            for label in span.items("labels"):
                if not isinstance(label, str):
                    span.refuse("wrong_type", "labels", f"should be a list of texts, not {kind_of(label)}")
                spans.setdefault(label, []).append(answer)
    return spans if finished else None


def _span(span: Record, text: str) -> Answer:
    """A span at its place; exports need not repeat its text."""
    start, end = span.integer("start"), span.integer("end")
    if not span.has("text"):
        return answer_between(span, "end", start, end, text)
    claimed = span.text("text")
    answer = place_answer(claimed, start, text, record=span, field="start", named="text", offsets_expected=True)
    if answer.start == start and answer.end != end:
        message = f"is {end}, but the text at start ends at {answer.end} (exclusive)"
        span.judge("answer_end", "end", message, repairable=True)
    return answer


def _is_span(result: Mapping[str, Any]) -> bool:
    """Whether a result is a span with labels; others are choices, relations, boxes in pictures."""
    value = result.get("value")
    return isinstance(value, dict) and {"start", "end", "labels"} <= value.keys()


def labels_in(tasks: Iterable[object]) -> Iterator[str]:
    """The labels of the spans in a file, in order, each once; nothing is judged yet."""
    seen = set()
    for annotation in _dicts(task.get("annotations") for task in _dicts([tasks])):
        for result in _dicts([annotation.get("result")]):
            labels = result["value"]["labels"] if _is_span(result) else ()
            for label in labels if isinstance(labels, list) else ():
                if isinstance(label, str) and label not in seen:
                    seen.add(label)
                    yield label


def _dicts(lists: Iterable[object]) -> Iterator[dict[str, Any]]:
    """The objects in some lists; whatever else is there is skipped."""
    for values in lists:
        yield from (value for value in (values if isinstance(values, list) else ()) if isinstance(value, dict))
