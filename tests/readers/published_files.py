"""Small files in the shapes in which data sets and annotation tools publish theirs; all texts are made up."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIDE = "The tide rises twice a day. Near Ulm it rises once."


def write_lines(path: Path, *values: Any) -> Path:
    """A file of JSON Lines, compressed where its name says so."""
    data = "".join(json.dumps(value) + "\n" for value in values).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def mrqa(*questions: dict[str, Any]) -> list[dict[str, Any]]:
    context = {"id": "", "context": TIDE, "context_tokens": [["The", 0]], "qas": list(questions)}
    return [{"header": {"dataset": "Tides", "split": "train"}}, context]


def asked(**fields: Any) -> dict[str, Any]:
    return {"qid": "7f3a", "question": "How often?", "question_tokens": [["How", 0]], **fields}


def detected(text: str, *spans: list[int]) -> dict[str, Any]:
    return {"text": text, "char_spans": list(spans), "token_spans": [[0, 0] for _ in spans]}


PARAGRAPHS = [
    ["Ulm", ["Ulm is a town.", " It lies on the Danube."]],
    ["Danube", ["The Danube is a river.", " It flows past Ulm and Vienna."]],
    ["Rhine", ["The Rhine is a river."]],
]


def hotpot(**fields: Any) -> dict[str, Any]:
    return {
        "_id": "5a8b",
        "question": "Which river flows past the town of Ulm?",
        "answer": "Danube",
        "supporting_facts": [["Ulm", 1]],
        "context": PARAGRAPHS,
        "type": "bridge",
        "level": "hard",
        **fields,
    }


DOCUMENT = "Tides <H1> Tides </H1> <P> The tide rises twice a day . </P> <P> Near <B> Ulm </B> there is none . </P>"


CANDIDATES = [
    {"start_token": 4, "top_level": True, "end_token": 13},
    {"start_token": 13, "top_level": True, "end_token": 23},
    {"start_token": 14, "top_level": False, "end_token": 19},
]


TWICE = {"start_token": 8, "end_token": 9}


def annotation(long: int = -1, *short: dict[str, int], yes_no: str = "NONE") -> dict[str, Any]:
    whole = {"start_token": -1, "candidate_index": -1, "end_token": -1}
    if long >= 0:
        whole = {name: CANDIDATES[long][name] for name in ("start_token", "end_token")} | {"candidate_index": long}
    return {"annotation_id": 5, "yes_no_answer": yes_no, "long_answer": whole, "short_answers": list(short)}


def natural(*annotations: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "document_text": DOCUMENT,
        "long_answer_candidates": CANDIDATES,
        "question_text": "how often does the tide rise",
        "annotations": list(annotations),
        "document_url": "https://example.org/tides",
        "example_id": -4316104231117711239,
        **fields,
    }


def tagged(labels: str, *, text: str = "Ulm is near New Ulm", **fields: Any) -> dict[str, Any]:
    """A question of MultiSpanQA."""
    asked = {"id": "zbij8e4070dp", "question": ["which", "towns"], "context": text.split(), "type": "LOC"}
    return {**asked, "label": labels.split(), **fields}


STORY = "ULM (Example) -- The tide rose twice on Monday, \n\n\n\nsaid the mayor. Nobody saw it."


AT_TWICE = STORY.index("twice")


TWICE_ON_MONDAY = (AT_TWICE, STORY.index(",") + 2)  # with the comma and a blank


def story(*questions: dict[str, Any], kind: str = "train") -> dict[str, Any]:
    return {"storyId": "./news/stories/1.story", "text": STORY, "type": kind, "questions": list(questions)}


def news(consensus: Any, *sourced: Any, validated: Any = None) -> dict[str, Any]:
    question = {
        "q": "How often did the tide rise?",
        "consensus": consensus,
        "answers": [{"sourcerAnswers": [each]} for each in sourced],
        "isAnswerAbsent": 0.0,
        "isQuestionBad": 0.0,
    }
    return question | ({} if validated is None else {"validatedAnswers": validated})


SPAN = {"s": AT_TWICE, "e": AT_TWICE + 6}  # the end stands after a blank, as it does there


LONGER = dict(zip("se", TWICE_ON_MONDAY, strict=True))


def news_csv(path: Path, columns: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["story_id", "question", "story_text", *columns], ["s1", "How often?", STORY, *columns.values()]]
        )
    return path


def trivia(**fields: Any) -> dict[str, Any]:
    return {
        "Question": "Which town lies on the Danube?",
        "QuestionId": "tc_33",
        "QuestionSource": "http://www.example.org/",
        "Answer": {
            "Aliases": ["City of Ulm", "Ulm (Donau)"],
            "NormalizedAliases": ["city of ulm"],
            "NormalizedValue": "ulm",
            "Type": "WikipediaEntity",
            "Value": "Ulm",
        },
        "EntityPages": [{"DocSource": "TagMe", "Filename": "Danube.txt", "Title": "Danube"}],
        "SearchResults": [{"Filename": "33/33_1.txt", "Rank": 0, "Title": "Towns", "Url": "http://example.org/"}],
        **fields,
    }


WIKI, WEB = "The Danube flows past Ulm. The City of Ulm lies there. Ulmer live in it.", "Towns: ULM, Vienna."


NOTE = "Ada moved from Ulm\nto Bonn in May."


STANDOFF = """\
T1\tPerson 0 3\tAda
T2\tPlace 15 18\tUlm
T3\tPlace 22 26\tBonn
R1\tMoved Arg1:T1 Arg2:T3\t
#1\tAnnotatorNotes T1\tcertain
T4\tMove 4 9;19 26\tmoved to Bonn
"""


def brat(folder: Path, name: str = "note", text: str = NOTE, standoff: str = STANDOFF) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.txt").write_text(text, newline="")
    (folder / f"{name}.ann").write_text(standoff)
    return folder / f"{name}.ann"


def labelled(*spans: tuple[int, int, str], **fields: Any) -> dict[str, Any]:
    results = [
        {
            "value": {"start": start, "end": end, "text": NOTE[start:end], "labels": [label]},
            "id": "x",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
        }
        for start, end, label in spans
    ]
    return {"id": 1, "completed_by": 1, "result": results, "was_cancelled": False, **fields}


def task(*annotations: dict[str, Any], number: int = 1, **data: Any) -> dict[str, Any]:
    return {"id": number, "annotations": list(annotations), "data": {"text": NOTE, **data}, "total_annotations": 1}


def trivia_files(folder: Path) -> Path:
    """With documents that hold the answer."""
    (folder / "evidence" / "wikipedia").mkdir(parents=True)
    (folder / "evidence" / "wikipedia" / "Danube.txt").write_text(WIKI)
    (folder / "qa").mkdir()
    path = folder / "qa" / "wikipedia-train.json"
    path.write_text(json.dumps({"Data": [trivia(SearchResults=[])]}, indent=4))
    return path


def json_file(value: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "train.json").write_text(json.dumps(value))
        return folder / "train.json"

    return write


ANNOTATED = labelled((15, 18, "Place"), (0, 3, "Person"))


PUBLISHED: dict[str, tuple[Callable[[Path], Path], str, dict[str, Any]]] = {
    "MRQA": (
        lambda folder: write_lines(
            folder / "Tides.jsonl.gz", *mrqa(asked(answers=["twice"], detected_answers=[detected("twice", [15, 19])]))
        ),
        "mrqa",
        {},
    ),
    "Natural Questions": (
        lambda folder: write_lines(folder / "simplified-nq-train.jsonl", natural(annotation(0, TWICE))),
        "natural_questions",
        {},
    ),
    "HotpotQA": (json_file([hotpot()]), "hotpotqa", {}),
    "MultiSpanQA": (
        json_file({"version": 1.0, "data": [tagged("B O O B I", num_span=2)]}),
        "multispanqa",
        {},
    ),
    "NewsQA, combined": (json_file({"data": [story(news(SPAN, SPAN))]}), "newsqa", {"split": "train"}),
    "NewsQA, tokenized": (
        lambda folder: news_csv(folder / "train.csv", {"answer_token_ranges": "3:6"}),
        "newsqa",
        {},
    ),
    "TriviaQA": (trivia_files, "triviaqa", {}),
    "brat": (brat, "brat", {"types": ["Person", "Place", "Move"]}),
    "Label Studio": (json_file([task(ANNOTATED)]), "label_studio", {"labels": ["Place", "Person"]}),
    "Label Studio with questions": (
        json_file([{**task(ANNOTATED), "data": {"passage": NOTE, "question": "Where?"}}]),
        "label_studio",
        {"text": "passage", "question": "question"},
    ),
    "TyDi's gold passages": (
        json_file(
            {
                "data": [
                    {
                        "paragraphs": [
                            {
                                "context": TIDE,
                                "qas": [
                                    {
                                        "id": "finnish-1-1",
                                        "question": "?",
                                        "answers": [{"text": "twice", "answer_start": 15}],
                                    }
                                ],
                            }
                        ]
                    }
                ]
            }
        ),
        "squad",
        {},
    ),
}
