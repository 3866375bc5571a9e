"""The courses' and competitions' files, in their formats, with made-up passages: what no hub has, and recipes find by
their variables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub.datasets import of_split
from hub.texts import TRADES, Passage, passages


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


def cmrc2018(folder: Path) -> Path:
    """CMRC 2018's training and trial files, in SQuAD's format."""
    folder.mkdir(parents=True)
    for split, name in (("train", "train"), ("validation", "trial")):
        paragraphs = [
            {
                "context": one.context,
                "qas": [
                    {
                        "id": f"{name}-{number}",
                        "question": one.question,
                        "answers": [{"text": one.answer, "answer_start": one.start}],
                    }
                ],
            }
            for number, one in enumerate(of_split(split, han=True))
        ]
        _write(folder / f"cmrc2018_{name}.json", {"data": [{"title": "all", "paragraphs": paragraphs}]})
    return folder


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


def patent(folder: Path) -> Path:
    """Kaggle's US Patent Phrase to Phrase Matching: pairs of phrases in a class of patents, and how alike they are."""
    rows = [
        {
            "id": f"{number:016x}",
            "anchor": f"{TRADES[number % len(TRADES)]} press",
            "target": f"press for {TRADES[number // len(TRADES) % len(TRADES)]} in form {number}",
            "context": f"A{number % 5 + 41}",
        }
        for number in range(60)
    ]
    scores = [{"score": str(number % 5 / 4)} for number in range(len(rows))]
    return _competition(folder, rows, scores)


QUESTIONS = (
    "asker_intent_understanding", "body_critical", "conversational", "expect_short_answer", "fact_seeking",
    "has_commonly_accepted_answer", "interestingness_others", "interestingness_self", "multi_intent",
    "not_really_a_question", "opinion_seeking", "type_choice", "type_compare", "type_consequence", "type_definition",
    "type_entity", "type_instructions", "type_procedure", "type_reason_explanation", "type_spelling", "well_written",
)  # fmt: skip
ANSWERS = (
    "helpful", "level_of_information", "plausible", "relevance", "satisfaction", "type_instructions", "type_procedure",
    "type_reason_explanation", "well_written",
)  # fmt: skip
"""Of what raters were asked about a question, and about its answer."""


def quest(folder: Path) -> Path:
    """Kaggle's Google QUEST Q&A Labeling: two answers a question, and shares of raters for 30 properties of both."""
    rows = []
    for number, one in enumerate(passages(60)):
        rows.append(
            {
                "qa_id": str(number),
                "question_title": passages(60)[number // 2].question,
                "question_body": passages(60)[number // 2].context,
                "question_user_name": "Ann",
                "question_user_page": "https://example.org/users/1",
                "answer": f"{one.answer}, I think. {one.context}",
                "answer_user_name": "Bob",
                "answer_user_page": "https://example.org/users/2",
                "url": f"https://example.org/questions/{number // 2}",
                "category": "CULTURE",
                "host": "example.org",
            }
        )
    names = [*(f"question_{name}" for name in QUESTIONS), *(f"answer_{name}" for name in ANSWERS)]
    shares = [{name: f"{(number * place) % 7 / 6}" for place, name in enumerate(names, 1)} for number in range(60)]
    return _competition(folder, rows, shares)


def _competition(folder: Path, rows: Sequence[Mapping[str, str]], targets: Sequence[Mapping[str, str]]) -> Path:
    """Training and test file, and a sample submission, of which the first column is the id."""
    cut = len(rows) - 10
    identifier = next(iter(rows[0]))
    labelled = [(*row.values(), *target.values()) for row, target in zip(rows, targets, strict=True)]
    _table(folder / "train.csv", (*rows[0], *targets[0]), labelled[:cut])
    _table(folder / "test.csv", tuple(rows[0]), [tuple(row.values()) for row in rows[cut:]])
    sample = [(row[identifier], *("0.5" for _ in targets[0])) for row in rows[cut:]]
    _table(folder / "sample_submission.csv", (identifier, *targets[0]), sample)
    return folder


def natural_questions(folder: Path) -> Path:
    """Kaggle's TensorFlow 2.0 Question Answering: passages of a document, of which one may be the long answer."""
    folder.mkdir(parents=True)
    files = {"simplified-nq-train.jsonl": of_split("train"), "simplified-nq-test.jsonl": of_split("test")}
    for name, chosen in files.items():
        rows = [_natural_question(number, chosen, labelled="train" in name) for number in range(len(chosen))]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    wanted = [
        f"{number}_{kind}" for number in range(len(files["simplified-nq-test.jsonl"])) for kind in ("long", "short")
    ]
    _table(folder / "sample_submission.csv", ("example_id", "PredictionString"), [(each, "") for each in wanted])
    return folder


def _natural_question(number: int, chosen: Sequence[Passage], *, labelled: bool) -> dict[str, Any]:
    """A short answer, yes, no, a long answer alone, or none, in turn."""
    one, kind = chosen[number], number % 5
    texts = [f"<P> {each.context} </P>" for each in (one, chosen[(number + 1) % len(chosen)])]
    ends = [len(" ".join(texts[:count]).split(" ")) for count in (1, 2)]
    passages = [
        {"start_token": first, "end_token": stop, "top_level": True}
        for first, stop in zip((0, ends[0]), ends, strict=True)
    ]
    before = len(f"<P> {one.context[: one.start]}".split(" ")) - 1
    short = {"start_token": before, "end_token": before + len(one.answer.split(" "))}
    nothing = {"start_token": -1, "end_token": -1, "candidate_index": -1}
    annotation = {
        "yes_no_answer": {1: "YES", 2: "NO"}.get(kind, "NONE"),
        "long_answer": nothing if kind == 4 else {**passages[0], "candidate_index": 0},
        "short_answers": [short] if kind == 0 else [],
        "annotation_id": number,
    }
    asked = {"example_id": number, "question_text": one.question, "document_text": " ".join(texts)}
    return asked | {"long_answer_candidates": passages} | ({"annotations": [annotation]} if labelled else {})


def multispanqa(folder: Path) -> Path:
    """MultiSpanQA: tokens and their tags; a question has two answers, in two passages behind one another."""
    folder.mkdir(parents=True)
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        chosen, rows = of_split(split), []
        for number, one in enumerate(chosen):
            context: list[str] = []
            tags: list[str] = []
            for each in (one, chosen[(number + 1) % len(chosen)]):
                before, after = (
                    each.context[: each.start].split(),
                    each.context[each.start + len(each.answer) :].split(),
                )
                inner = each.answer.split()
                context += [*before, *inner, *after]
                tags += [*("O" for _ in before), "B", *("I" for _ in inner[1:]), *("O" for _ in after)]
            row: dict[str, Any] = {"id": f"{split}{number}", "question": one.question.split(), "context": context}
            rows.append(row | ({} if split == "test" else {"num_span": 2, "label": tags, "type": "ENTY"}))
        _write(folder / f"{name}.json", {"version": 1.0, "data": rows})
    return folder


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
