"""The courses' and competitions' files, in their formats, with made-up passages: what no hub has, and recipes find by
their variables."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub.datasets import of_split
from hub.texts import Passage


def hw7(folder: Path) -> Path:
    """NTU's machine-learning homework 7: questions, paragraphs, a sample submission; ``answer_end`` is inclusive."""
    folder.mkdir(parents=True)
    for split, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        chosen = of_split(split, han=True)
        questions = [_hw7_question(number, one, labelled=split != "test") for number, one in enumerate(chosen)]
        content = {"questions": questions, "paragraphs": [one.context for one in chosen]}
        _write(folder / f"hw7_{name}.json", content)
    ids = range(len(of_split("test")))
    (folder / "sample_submission.csv").write_text(
        "ID,Answer\n" + "".join(f"{number},答案\n" for number in ids), "utf-8"
    )
    return folder


def _hw7_question(number: int, one: Passage, *, labelled: bool) -> dict[str, Any]:
    return {
        "id": number,
        "paragraph_id": number,
        "question_text": one.question,
        "answer_text": one.answer if labelled else None,
        "answer_start": one.start if labelled else None,
        "answer_end": one.start + len(one.answer) - 1 if labelled else None,
    }


def adl(folder: Path, *, han: bool = True) -> Path:
    """NTU's Applied Deep Learning, homework 1: four paragraphs a question, one of them relevant.

    In English: as ``qakit data convert --to adl`` leaves it, with ``dev.json`` and without a test file.
    """
    folder.mkdir(parents=True)
    splits = {"train": "train", "validation": "valid" if han else "dev", **({"test": "test"} if han else {})}
    chosen = {split: of_split(split, han=han) for split in splits}
    contexts = [one.context for passages in chosen.values() for one in passages]
    _write(folder / "context.json", contexts)
    first = 0
    for split, name in splits.items():
        passages = chosen[split]
        records = [_adl_record(split, passages, number, first) for number in range(len(passages))]
        _write(folder / f"{name}.json", records)
        first += len(passages)
    if han:
        lines = [f"test-{number},答案\n" for number in range(len(chosen["test"]))]
        (folder / "sample_submission.csv").write_text("id,answer\n" + "".join(lines), "utf-8")
    return folder


def _adl_record(split: str, passages: Sequence[Passage], number: int, first: int) -> dict[str, Any]:
    one = passages[number]
    four = [first + (number + away) % len(passages) for away in range(4)]
    shift = number % 4  # the relevant one at each of the four places
    record: dict[str, Any] = {
        "id": f"{split}-{number}",
        "question": one.question,
        "paragraphs": four[-shift:] + four[:-shift] if shift else four,
    }
    if split != "test":
        record |= {"relevant": first + number, "answer": {"text": one.answer, "start": one.start}}
    return record


SENTIMENTS = ("neutral", "positive", "negative")


def tweets(folder: Path) -> Path:
    """Kaggle's Tweet Sentiment Extraction: what of a tweet carries its sentiment; one row without a tweet."""
    header = ("textID", "text", "selected_text", "sentiment")
    rows = [
        (f"t{number:04}", one.context, one.context if number % 3 == 0 else one.answer, SENTIMENTS[number % 3])
        for number, one in enumerate(of_split("train"))
    ]
    asked = [(f"u{number:04}", one.context, SENTIMENTS[number % 3]) for number, one in enumerate(of_split("test"))]
    _table(folder / "train.csv", header, [*rows, ("t9999", "", "", "neutral")])
    _table(folder / "test.csv", ("textID", "text", "sentiment"), asked)
    _table(folder / "sample_submission.csv", ("textID", "selected_text"), [(row[0], "") for row in asked])
    return folder


def chaii(folder: Path) -> Path:
    """Kaggle's chaii: questions about articles in two languages, with the place of the answer."""
    rows = [
        (f"c{number:04}", one.context, one.question, one.answer, one.start, ("hindi", "tamil")[number % 2])
        for number, one in enumerate(of_split("train"))
    ]
    asked = [(f"d{number:04}", one.context, one.question, "hindi") for number, one in enumerate(of_split("test"))]
    header = ("id", "context", "question", "answer_text", "answer_start", "language")
    _table(folder / "train.csv", header, rows)
    _table(folder / "test.csv", ("id", "context", "question", "language"), asked)
    _table(folder / "sample_submission.csv", ("id", "PredictionString"), [(row[0], "") for row in asked])
    return folder


def _table(file: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([header, *rows])


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
