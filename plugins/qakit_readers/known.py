"""Which files are in a published format, by fields that no other has: for ``qakit init``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from qakit.api import Guess
from qakit.reading.files import beginning, load_json, text_lines
from qakit_readers.columnar import is_parquet, parquet_rows
from qakit_readers.forms import MARKS, entries_of
from qakit_readers.spans import labels_in, types_in


def guess_mrqa(path: Path) -> Iterator[Guess]:
    """MRQA's predictions are those of SQuAD."""
    if _is_marked(path, "mrqa"):
        yield Guess(recipe={"writer": "squad_json"}, reasons={"writer": "MRQA's own prediction file: qid -> text"})


def guess_natural_questions(path: Path) -> Iterator[Guess]:
    """Long and short answers are judged together, and handed in as tokens of the test file."""
    if not _is_marked(path, "natural_questions"):
        return
    recipe: dict[str, Any] = {"metric": "micro_f1"}
    reasons = {"metric": "the competition counts long and short answers"}
    test = path.with_name("simplified-nq-test.jsonl")
    if test.is_file():
        recipe["writer"] = {"name": "natural_questions", "questions": str(test.absolute())}
        reasons["writer"] = "tokens of the test file, as the competition wants them"
        yield Guess(recipe=recipe, reasons=reasons)
    else:
        note = "a submission needs the writer natural_questions with `questions: TEST_FILE`"
        yield Guess(recipe=recipe, reasons=reasons, notes=(note,))


def guess_hotpotqa(path: Path) -> Iterator[Guess]:
    """The format says itself what is what."""
    if _is_marked(path, "hotpotqa"):
        yield Guess()


def guess_multispanqa(path: Path) -> Iterator[Guess]:
    """The answers are counted together, and handed in as lists."""
    if _is_marked(path, "multispanqa"):
        recipe: dict[str, Any] = {"metric": "multi_span", "writer": "squad_json"}
        reasons = {"metric": "the data set's own figures", "writer": "the official script's file: id -> list of texts"}
        yield Guess(recipe=recipe, reasons=reasons)


def guess_newsqa(path: Path) -> Iterator[Guess]:
    """The combined JSON file holds all splits."""
    if _is_marked(path, "newsqa"):
        note = "the file holds all splits: write `dev` and `test` to files of their own (qakit data convert)"
        yield Guess({"split": "train"}, reasons={"split": "the stories' type"}, notes=(note,))
    elif not is_parquet(path) and MARKS["newsqa"] & set(next((line for _, line in text_lines(path)), "").split(",")):
        yield Guess()


def guess_triviaqa(path: Path) -> Iterator[Guess]:
    """The format says itself what is what."""
    if _is_marked(path, "triviaqa"):
        yield Guess()


def guess_brat(path: Path) -> Iterator[Guess]:
    """The types are those of the configuration, or those that are there."""
    if path.suffix == ".ann" or path.name == "annotation.conf":
        types = types_in(path)
        why = f"{len(types)} types: each is a question to each text"
        yield Guess({"types": types} if types else {}, reasons={"types": why})


def guess_label_studio(path: Path) -> Iterator[Guess]:
    """The text is the field of that name, or the longest; a field ``question`` is asked."""
    if not _is_marked(path, "label_studio") or not (tasks := entries_of(load_json(path))):
        return
    data = next((task.get("data") for task in tasks if isinstance(task, dict)), None)
    texts = {name: value for name, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    if not texts:
        return
    settings: dict[str, Any] = {}
    reasons = {}
    if "text" not in texts:
        settings["text"] = max(texts, key=lambda name: len(texts[name]))
        reasons["text"] = "the longest text of a task"
    if "question" in texts:
        settings["question"] = "question"
    else:
        settings["labels"] = list(labels_in(tasks))
        reasons["labels"] = f"{len(settings['labels'])} labels in the file: each is a question to each text"
    yield Guess(settings, reasons=reasons)


def _is_marked(path: Path, name: str) -> bool:
    """Whether the beginning of a JSON file, or a column of Parquet, has a field of this format."""
    if is_parquet(path):
        return any(MARKS[name] & row.keys() for _, _, row in islice(parquet_rows(path), 1))
    head = beginning(path).lstrip("\ufeff \t\r\n")
    return head.startswith(("{", "[")) and any(f'"{mark}"' in head for mark in MARKS[name])
