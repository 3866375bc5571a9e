"""Examples written in another format: NTU ADL's files with several paragraphs to a question, or flat tables."""

from __future__ import annotations

import glob
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qakit.data.encode import example_key
from qakit.data.hub_splits import quiet
from qakit.errors import DataError, UsageError
from qakit.files import add_files, atomic_path, make_folder, recover_files, without_gz, write_text, writing
from qakit.randomness import derive_seed, permutation
from qakit.values import Answer, Example, Targets, as_written

TableForm = Literal["jsonl", "parquet"]
Form = Literal["adl", "jsonl", "parquet"]
WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+")
"""A Chinese character, or a run of other letters and digits."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written: questions by file, and how many of each split were left out.

    Questions with several paragraphs need an answer with a place, and enough contexts that don't hold it.
    """

    files: Mapping[str, int]
    left_out: Mapping[str, int]


def check_free(sources: Sequence[Path], folder: Path, *, form: Form, overwrite: bool) -> None:
    """Make sure that no file is lost when ``sources`` are written into ``folder`` in another format.

    Raises:
        UsageError: a file would be written over a source, or over another file without ``overwrite``.
    """
    names = [without_gz(file).stem for file in sources]
    if form == "adl":
        if "context" in names:
            raise UsageError("a question file called context would be written over context.json: rename it first")
        targets = [folder / "context.json", *(folder / f"{name}.json" for name in names)]
    else:
        targets = [target for name in names for target in _earlier(folder, name, form)]
    for target in filter(Path.exists, targets):
        if any(file.exists() and file.samefile(target) for file in sources):
            raise UsageError(f"{target} is read and would be written over: choose another --output")
        if target.is_dir():
            raise UsageError(f"{target} is a folder: choose another --output")
        if not overwrite:
            raise UsageError(f"{target} exists: choose another --output, or give --overwrite")


def _earlier(folder: Path, name: str, form: str) -> list[Path]:
    """The files that a split was written to, as one or in parts: beside new ones they would be taken for a part of
    them."""
    parts = sorted(folder.glob(f"{glob.escape(name)}-{'[0-9]' * 5}.{glob.escape(form)}"))
    whole = folder / f"{name}.{form}"
    return [whole, *parts] if whole.exists() else parts


def write_adl(splits: Mapping[str, Sequence[Example]], folder: Path, *, paragraphs: int, seed: int) -> Converted:
    """Write ``context.json`` and ``SPLIT.json`` for each split, as the ``adl`` reader takes them.

    Each question gets its own context and ``paragraphs - 1`` others of its split: those of the same document that share
    most rare words with the question, then any. None of them holds the text of an answer. Their order is random.

    Args:
        splits: examples by the name of the file; unlabelled ones become test questions.
        paragraphs: contexts of each question.
        seed: of the order, and of the contexts from elsewhere; it acts on each question by its id.

    Raises:
        UsageError: fewer than two paragraphs are wanted.
        DataError: no question of a split can be used, or an unlabelled one has several contexts already.
    """
    if paragraphs < 2:
        raise UsageError(f"{paragraphs} paragraphs to a question leave nothing to choose; at least 2")
    numbers: dict[str, int] = {}
    for examples in splits.values():
        for example in examples:
            _check_answers(example)
            for context in example.contexts:
                numbers.setdefault(context, len(numbers))
    documents, left_out = {}, {}
    for name, examples in splits.items():
        pool = _Pool.of(examples, numbers)
        usable = [each for each in examples if each.contexts and (each.answers is None or _target(each) is not None)]
        made = [_record(each, pool, numbers, paragraphs=paragraphs, seed=seed) for each in usable]
        documents[name] = [record for record in made if record is not None]
        left_out[name] = len(examples) - len(documents[name])
        if not documents[name]:
            raise DataError(
                f"{name}: no question has an answer with a place in its context and {paragraphs - 1} other contexts "
                "without that answer"
            )
    with _all_or_none(folder, [f"{name}.json" for name in documents]) as fresh:
        write_text(fresh / "context.json", _json(list(numbers)))
        for name, records in documents.items():
            write_text(fresh / f"{name}.json", _json(records))
    return Converted({f"{name}.json": len(records) for name, records in documents.items()}, left_out)


def write_tables(
    splits: Mapping[str, Sequence[Example]], folder: Path, *, form: TableForm, rows: int | None
) -> Converted:
    """Write ``SPLIT.jsonl`` or ``SPLIT.parquet``: columns ``id``, ``question``, ``context``, ``answers`` (``{"text",
    "answer_start"}``, lists), ``label`` (or a column for each of several numbers) and ``document``, as far as the split
    has them.

    Args:
        rows: of one file at most; then the files are ``SPLIT-00000``, ``SPLIT-00001`` and so on.

    Raises:
        DataError: an example has several contexts, or a number with the name of another column.
    """
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, examples in splits.items():
        records = [_row(example) for example in examples]
        parts = [records] if rows is None else [records[at : at + rows] for at in range(0, len(records) or 1, rows)]
        for number, part in enumerate(parts):
            tables[f"{name}.{form}" if rows is None else f"{name}-{number:05}.{form}"] = part
    with _all_or_none(folder, list(tables)) as fresh:
        for file, part in tables.items():
            _write_table(fresh / file, part, form)
    for old in (path for name in splits for path in _earlier(folder, name, form)):
        if old.name not in tables:
            with writing(old):
                old.unlink(missing_ok=True)
    return Converted({file: len(part) for file, part in tables.items()}, {})


@contextmanager
def _all_or_none(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """A temporary folder for files that belong together: they take their places in ``folder`` once all are there."""
    with writing(folder):
        make_folder(folder)
    recover_files(folder, last=names[-1])
    with add_files(folder, last=names[-1]) as fresh:
        yield fresh


def _check_answers(example: Example) -> None:
    """These formats know several answers as alternatives alone."""
    if example.together and len(example.answers or ()) > 1:
        message = (
            "has several answers that are right only together, which the new format cannot say: leave the file as it is"
        )
        raise DataError(message, row=f"id {example.id}")


def _row(example: Example) -> dict[str, Any]:
    _check_answers(example)
    if len(example.contexts) > 1:
        message = "has several contexts; a table has one to a row: leave the file as it is, or cut it into smaller ones"
        raise DataError(message, row=f"id {example.id}")
    record: dict[str, Any] = {"id": example.id, "question": example.question}
    if example.contexts:
        record["context"] = example.contexts[0]
    if example.answers is not None:
        starts = [-1 if answer.start is None else answer.start for answer in example.answers]
        record["answers"] = {"text": [answer.text for answer in example.answers], "answer_start": starts}
    if example.label is not None:
        record |= _labels(example.label)
    if example.document:
        record["document"] = example.document
    return record


def _labels(label: str | float | Targets) -> dict[str, Any]:
    """A column ``label``; several numbers have columns of their own names, where one that is not known is null."""
    if not isinstance(label, Targets):
        return {"label": as_written(label) if isinstance(label, str) else label}
    taken = {"id", "question", "context", "answers", "document"} & set(label.names)
    if taken:
        message = f"the number {min(taken)!r} would take the place of another column: rename it in the file"
        raise DataError(message)
    return {name: None if math.isnan(value) else value for name, value in label.by_name().items()}


def _write_table(path: Path, records: Sequence[dict[str, Any]], form: TableForm) -> None:
    if form == "jsonl":
        write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
        return
    import datasets

    columns = list(dict.fromkeys(name for record in records for name in record))
    table = datasets.Dataset.from_dict({name: [record.get(name) for record in records] for name in columns})
    with quiet(), atomic_path(path) as temporary, temporary.open("wb") as file:
        table.to_parquet(file)  # a path would be read as an address: `::` and `*` mean something there


@dataclass(frozen=True, slots=True)
class _Pool:
    """The contexts of a split: by document, with the words of each and how rare they are."""

    texts: Sequence[str]
    by_document: Mapping[str, Sequence[int]]
    words: Sequence[frozenset[str]]
    rarity: Mapping[str, float]
    place: Mapping[str, int]

    @staticmethod
    def of(examples: Sequence[Example], numbers: Mapping[str, int]) -> _Pool:
        documents: dict[str, dict[str, None]] = {}
        for example in examples:
            for context in example.contexts:
                documents.setdefault(example.document, {}).setdefault(context)
        texts = sorted({text for held in documents.values() for text in held}, key=numbers.__getitem__)
        place = {text: index for index, text in enumerate(texts)}
        words = [_words(text) for text in texts]
        counts = Counter(word for held in words for word in held)
        return _Pool(
            texts,
            {name: [place[text] for text in held] for name, held in documents.items()},
            words,
            {word: math.log(len(texts) / count) for word, count in counts.items()},
            place,
        )

    def nearest(self, example: Example) -> list[int]:
        """Contexts of the example's document, those that share most rare words with its question first."""
        question = _words(example.question)

        def shared(index: int) -> float:
            return math.fsum(self.rarity[word] for word in question & self.words[index])

        return sorted(self.by_document[example.document], key=lambda index: (-shared(index), index))


def _record(
    example: Example, pool: _Pool, numbers: Mapping[str, int], *, paragraphs: int, seed: int
) -> dict[str, Any] | None:
    """The question with its paragraphs; None where too few others are without its answer."""
    answer = _target(example)
    if answer is None and example.relevant is None and len(example.contexts) > 1:
        message = "has several contexts, and nothing says which one to keep beside new ones: use the file as it is"
        raise DataError(message, row=f"id {example.id}")
    own = example.contexts[answer.context if answer is not None else example.relevant or 0]
    address = derive_seed(seed, "paragraphs", example_key(example.id))
    chosen = [own]
    forbidden = {each.text for each in example.answers or () if each.text}
    elsewhere = permutation(len(pool.texts), address, 0, stream="elsewhere").tolist()
    for index in [*pool.nearest(example), *elsewhere]:
        if len(chosen) == paragraphs:
            break
        text = pool.texts[index]
        if text not in chosen and not any(part in text for part in forbidden):
            chosen.append(text)
    if len(chosen) < paragraphs:
        return None
    order = permutation(paragraphs, address, 0, stream="order").tolist()
    record: dict[str, Any] = {
        "id": example.id,
        "question": example.question,
        "paragraphs": [numbers[chosen[index]] for index in order],
    }
    if answer is not None:
        record["relevant"] = numbers[own]
        record["answer"] = {"text": answer.text, "start": answer.start}
    return record


def _target(example: Example) -> Answer | None:
    return next((answer for answer in example.answers or () if answer.start is not None), None)


def _words(text: str) -> frozenset[str]:
    return frozenset(WORD.findall(text.lower()))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
