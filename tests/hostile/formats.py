"""Every reader with a small valid file of its own, and what reading one comes to."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from qakit.api import DataError, Example, NoRuntime, Reader
from qakit.data.read import read_examples
from qakit.registry import load_registry

CONTEXT = "The army landed at Pevensey in 1066."
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Normans",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "q1",
                            "question": "Where?",
                            "answers": [{"text": "Pevensey", "answer_start": 19}],
                            "is_impossible": False,
                        },
                        {"id": "q2", "question": "Why?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}
HW7 = {
    "questions": [
        {
            "id": 1,
            "paragraph_id": 0,
            "question_text": "Where?",
            "answer_text": "Pevensey",
            "answer_start": 19,
            "answer_end": 26,
        },
        {
            "id": 2,
            "paragraph_id": 0,
            "question_text": "When?",
            "answer_text": None,
            "answer_start": None,
            "answer_end": None,
        },
    ],
    "paragraphs": [CONTEXT],
}
ADL_CONTEXTS = [CONTEXT, "Another text.", "A third text.", "A fourth text."]
ADL = [
    {
        "id": "q1",
        "question": "Where?",
        "paragraphs": [3, 0, 1, 2],
        "relevant": 0,
        "answer": {"text": "Pevensey", "start": 19},
    },
    {"id": "q2", "question": "When?", "paragraphs": [0, 1, 2, 3]},
]
GLUE = [["index", "sentence1", "sentence2", "label"], ["0", "One text.", "Another one.", "entailment"]]
MRQA = [
    {"header": {"dataset": "Normans", "split": "train"}},
    {
        "id": "c1",
        "context": CONTEXT,
        "qas": [
            {
                "qid": "q1",
                "question": "Where?",
                "answers": ["Pevensey"],
                "detected_answers": [{"text": "Pevensey", "char_spans": [[19, 26]], "token_spans": [[4, 4]]}],
            }
        ],
    },
]
NATURAL = [
    {
        "example_id": "q1",
        "question_text": "Where?",
        "document_text": CONTEXT,
        "long_answer_candidates": [{"start_token": 0, "end_token": 5, "top_level": True}],
        "annotations": [
            {
                "yes_no_answer": "NONE",
                "long_answer": {"start_token": 0, "end_token": 5, "candidate_index": 0},
                "short_answers": [{"start_token": 4, "end_token": 5}],
            }
        ],
    }
]
HOTPOT = [
    {
        "_id": "q1",
        "question": "Where?",
        "answer": "Pevensey",
        "supporting_facts": [["Normans", 0]],
        "context": [["Normans", [CONTEXT]], ["Others", ["Another text.", " A third text."]]],
    }
]
NEWS = {
    "version": "1",
    "data": [
        {
            "storyId": "q1",
            "type": "train",
            "text": CONTEXT,
            "questions": [
                {
                    "q": "Where?",
                    "consensus": {"s": 19, "e": 27},
                    "answers": [{"sourcerAnswers": [{"s": 19, "e": 27}]}, {"sourcerAnswers": [{"noAnswer": True}]}],
                    "validatedAnswers": [{"s": 19, "e": 27, "count": 2}, {"badQuestion": True, "count": 1}],
                }
            ],
        }
    ],
}
NEWS_ROWS = [
    {
        "story_id": "q1",
        "question": "Where?",
        "answer_char_ranges": "19:27|None|19:27,0:3",
        "validated_answers": '{"19:27": 2, "none": 1}',
        "story_text": CONTEXT,
    }
]
TRIVIA = {
    "Data": [
        {
            "QuestionId": "q1",
            "Question": "Where?",
            "Answer": {"Value": "Pevensey", "Aliases": ["Pevensey Bay"]},
            "EntityPages": [{"Filename": "Normans.txt", "wiki_context": CONTEXT}],
        }
    ]
}
TASKS = [
    {
        "id": "q1",
        "data": {"text": CONTEXT, "question": "Where?"},
        "annotations": [
            {
                "was_cancelled": False,
                "result": [{"value": {"start": 19, "end": 27, "text": "Pevensey", "labels": ["Place"]}}],
            }
        ],
    }
]
COLUMNS = {"id": "key", "question": "q", "context": "c", "answer_text": "a", "answer_start": "s"}
ROWS = [{"key": "q1", "q": "Where?", "c": CONTEXT, "a": "Pevensey", "s": 19}]


@dataclass(frozen=True, slots=True)
class Format:
    """A reader with its settings, a valid document, and how a document becomes a file."""

    name: str
    reader: str
    document: Any
    dump: Callable[[Any], bytes]
    file: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    questions: tuple[str | int, ...] = ()
    """Where the document lists its questions (or what holds them), for one that is there twice."""
    beside: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON files that the reader opens."""

    def valid(self) -> bytes:
        """The valid document as a file."""
        return self.dump(self.document)

    def write(self, folder: Path, content: bytes) -> Path:
        """The file, and what belongs beside it, in a folder."""
        for name, value in self.beside.items():
            (folder / name).write_text(json.dumps(value), "utf-8")
        path = folder / self.file
        path.write_bytes(content)
        return path


@cache
def reader_of(name: str) -> Reader:
    """A format's."""
    form = FORMATS[name]
    reader: Reader = load_registry().build("readers", form.reader, dict(form.settings), NoRuntime())
    return reader


def dump_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def dump_lines(rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def dump_tsv(rows: Any) -> bytes:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def dump_csv(rows: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(rows[0]))
    writer.writerows(list(row.values()) for row in rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def dump_table_tsv(rows: Any) -> bytes:
    return dump_tsv([list(rows[0]), *(list(row.values()) for row in rows)])


def dump_parquet(rows: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


FORMATS = {
    each.name: each
    for each in (
        Format("squad", "squad", SQUAD, dump_json, "data.json", questions=("data", 0, "paragraphs", 0, "qas")),
        Format("hw7", "hw7", HW7, dump_json, "data.json", questions=("questions",)),
        Format("adl", "adl", ADL, dump_json, "data.json", beside={"context.json": ADL_CONTEXTS}),
        Format("mrqa", "mrqa", MRQA, dump_lines, "data.jsonl", questions=(1, "qas")),
        Format("natural_questions", "natural_questions", NATURAL, dump_lines, "data.jsonl"),
        Format("hotpotqa", "hotpotqa", HOTPOT, dump_json, "data.json"),
        Format("newsqa", "newsqa", NEWS, dump_json, "data.json", questions=("data",)),
        Format("newsqa csv", "newsqa", NEWS_ROWS, dump_csv, "data.csv"),
        Format("triviaqa", "triviaqa", TRIVIA, dump_json, "data.json", questions=("Data",)),
        Format("label_studio", "label_studio", TASKS, dump_json, "data.json", {"question": "question"}),
        Format("glue", "glue", GLUE, dump_tsv, "train.tsv", {"task": "RTE"}),
        Format("csv", "table", ROWS, dump_csv, "data.csv", COLUMNS),
        Format("tsv", "table", ROWS, dump_table_tsv, "data.tsv", COLUMNS),
        Format("jsonl", "table", ROWS, dump_lines, "data.jsonl", COLUMNS),
        Format("parquet", "table", ROWS, dump_parquet, "data.parquet", COLUMNS),
    )
}
JSON_FORMATS = (
    "squad", "hw7", "adl", "jsonl", "mrqa", "natural_questions", "hotpotqa", "newsqa", "triviaqa", "label_studio",
)  # fmt: skip
"""Those whose documents are trees of JSON values."""

Outcome = Literal["read", "refused"]


def refused(form: Format, path: Path, policies: Mapping[str, Any] | None = None) -> DataError | None:
    """Read a file: why it is refused, if it is. Anything but sound examples and DataError comes through."""
    try:
        result = read_examples(reader_of(form.name), path, policies=policies or {})
    except DataError as error:
        check_message(error, path)
        return error
    for example in result.examples:
        check_example(example)
    return None


def read(form: Format, path: Path, policies: Mapping[str, Any] | None = None) -> tuple[Outcome, str]:
    """Read a file: what came of it, and the message of a refusal."""
    error = refused(form, path, policies)
    return ("read", "") if error is None else ("refused", str(error))


def check_message(error: DataError, path: Path) -> None:
    """One line, with the file in front."""
    text = str(error)
    assert text.isprintable() or "\ufffd" in text or len(text.splitlines()) == 1, text
    assert len(text.splitlines()) == 1 and len(text) < 1000, text
    assert str(path.parent) in text, text


def check_example(example: Example) -> None:
    """The promises of an example."""
    for text in (example.id, example.question, *example.contexts):
        text.encode("utf-8")  # no lone surrogates: tokenizers and files take it
    for answer in example.answers or ():
        if answer.start is not None:
            assert answer.text
            assert example.contexts[answer.context][answer.start : answer.end] == answer.text
