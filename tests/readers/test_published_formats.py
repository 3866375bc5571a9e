"""Data sets in the shapes in which they are published; all texts are made up."""

from __future__ import annotations

import csv
import gzip
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import Answer, DataError, NoRuntime
from qakit.data.read import read_examples
from qakit.drafting.understand import understand
from qakit.registry import load_registry
from qakit_readers.tokens import Tokens

Read = Callable[..., Any]

TIDE = "The tide rises twice a day. Near Ulm it rises once."


def write_lines(path: Path, *values: Any) -> Path:
    """A file of JSON Lines, compressed where its name says so."""
    data = "".join(json.dumps(value) + "\n" for value in values).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


# --------------------------------------------------------------------------------------------------------------- MRQA
def mrqa(*questions: dict[str, Any]) -> list[dict[str, Any]]:
    context = {"id": "", "context": TIDE, "context_tokens": [["The", 0]], "qas": list(questions)}
    return [{"header": {"dataset": "Tides", "split": "train"}}, context]


def asked(**fields: Any) -> dict[str, Any]:
    return {"qid": "7f3a", "question": "How often?", "question_tokens": [["How", 0]], **fields}


def detected(text: str, *spans: list[int]) -> dict[str, Any]:
    return {"text": text, "char_spans": list(spans), "token_spans": [[0, 0] for _ in spans]}


def test_mrqa_ends_are_inclusive_and_every_span_is_a_place(tmp_path: Path, read: Read) -> None:
    question = asked(answers=["rises", "goes up"], detected_answers=[detected("rises", [9, 13], [40, 44])])
    (example,), problems = read("mrqa", write_lines(tmp_path / "Tides.jsonl.gz", *mrqa(question)))
    assert (example.id, example.question, example.contexts, example.document) == ("7f3a", "How often?", (TIDE,), "")
    assert example.answers == (Answer("rises", 9, 0, ((40, 45),)), Answer("goes up", None))
    assert not problems.counts


def test_mrqa_all_detected_answers_are_learnt_and_each_counts(tmp_path: Path, read: Read) -> None:
    answers = [detected("ULM", [33, 35]), detected("twice", [15, 19]), detected("once", [46, 49])]
    question = asked(answers=["ULM", "twice", "once"], detected_answers=answers)
    (example,), problems = read("mrqa", write_lines(tmp_path / "a.jsonl", *mrqa(question)))
    assert example.answers == (
        Answer("ULM", None, 0, ((33, 36), (15, 20), (46, 50))),
        Answer("twice", 15),
        Answer("once", 46),
    )
    assert not problems.counts


def test_mrqa_answers_in_another_case_are_learnt_where_the_file_says(tmp_path: Path, read: Read) -> None:
    question = asked(answers=["ULM"], detected_answers=[detected("ULM", [33, 35])])
    (example,), problems = read("mrqa", write_lines(tmp_path / "a.jsonl", *mrqa(question)))
    assert example.answers == (Answer("ULM", None, 0, ((33, 36),)),)
    assert not problems.counts


def test_mrqa_offsets_that_are_off_are_mended(tmp_path: Path, read: Read) -> None:
    question = asked(answers=["twice"], detected_answers=[detected("twice", [16, 20])])
    (example,), problems = read("mrqa", write_lines(tmp_path / "a.jsonl", *mrqa(question)))
    assert example.answers == (Answer("twice", 15),)
    assert dict(problems.counts) == {("answer_offset", "repaired"): 1} and problems.shifts == {-1: 1}


def test_mrqa_places_that_do_not_hold_the_answer_are_left_out(tmp_path: Path, read: Read) -> None:
    question = asked(answers=["rises"], detected_answers=[detected("rises", [9, 13], [39, 43])])
    (example,), problems = read("mrqa", write_lines(tmp_path / "a.jsonl", *mrqa(question)))
    assert example.answers == (Answer("rises", 9),)
    assert dict(problems.counts) == {("answer_offset", "repaired"): 1}


def test_mrqa_without_header_or_answers(tmp_path: Path, read: Read) -> None:
    path = write_lines(tmp_path / "a.jsonl", mrqa(asked(answers=[], detected_answers=[]))[1])
    assert [each.answers for each in read("mrqa", path)[0]] == [None]


# ----------------------------------------------------------------------------------------------------------- HotpotQA
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


def test_hotpotqa_looks_in_the_supporting_paragraphs_first(write_json: Any, read: Read) -> None:
    (example,), problems = read("hotpotqa", write_json([hotpot()]))
    assert example.contexts[0] == "Ulm\nUlm is a town. It lies on the Danube."
    assert example.answers == (Answer("Danube", example.contexts[0].index("Danube")),)
    assert (example.id, example.relevant, dict(problems.counts)) == ("5a8b", 0, {})
    (bare,), _ = read("hotpotqa", write_json([hotpot()]), titles=False)
    assert bare.contexts[2] == "The Rhine is a river."


def test_hotpotqa_answers_that_occur_often_follow_the_policy(write_json: Any, read: Read) -> None:
    path = write_json([hotpot(supporting_facts=[["Ulm", 1], ["Danube", 0]])])
    (kept,), problems = read("hotpotqa", path)
    assert kept.answers == (Answer("Danube", None),) and kept.relevant is None
    assert dict(problems.counts) == {("answer_ambiguous", "kept"): 1}
    (every,), _ = read("hotpotqa", path, {"answer_ambiguous": "all"})
    first, second = every.answers
    assert (first.context, second.context, second.start) == (0, 1, 0)
    assert second.others == ((11, 17),)
    (one,), _ = read("hotpotqa", path, {"answer_ambiguous": "first"})
    assert one.answers == (first,)


@pytest.mark.parametrize("answer", ["yes", "No"])
def test_hotpotqa_yes_and_no_are_answers_without_a_place(answer: str, write_json: Any, read: Read) -> None:
    (example,), problems = read("hotpotqa", write_json([hotpot(answer=answer, type="comparison")]))
    assert example.answers == (Answer(answer.lower(), None),)
    assert not problems.counts


def test_hotpotqa_as_the_hub_has_it_and_test_files(tmp_path: Path, write_json: Any, read: Read) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    titles, sentences = zip(*PARAGRAPHS, strict=True)
    row = {
        "id": "5a8b",
        "question": "Which river flows past the town of Ulm?",
        "answer": "Danube",
        "supporting_facts": {"title": ["Ulm"], "sent_id": [1]},
        "context": {"title": list(titles), "sentences": list(sentences)},
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    assert read("hotpotqa", tmp_path / "train.parquet")[0] == read("hotpotqa", write_json([hotpot()]))[0]
    test = {name: hotpot()[name] for name in ("_id", "question", "context")}
    assert read("hotpotqa", write_json([test]))[0][0].answers is None


# -------------------------------------------------------------------------------------------------- Natural Questions
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


def read_natural(tmp_path: Path, read: Read, *annotations: dict[str, Any], **fields: Any) -> Any:
    (example,), problems = read(
        "natural_questions", write_lines(tmp_path / "nq.jsonl", natural(*annotations, **fields))
    )
    assert not problems.counts
    return example


def test_natural_questions_have_their_long_answers_as_contexts(tmp_path: Path, read: Read) -> None:
    example = read_natural(tmp_path, read, annotation(0, TWICE))
    assert example.id == "-4316104231117711239"
    assert example.contexts == (
        "<P> The tide rises twice a day . </P>",
        "<P> Near <B> Ulm </B> there is none . </P>",
    )
    assert example.relevant == 0
    assert example.answers == (Answer("twice", 19),)


@pytest.mark.parametrize(
    ("annotations", "relevant", "answers"),
    [
        ([annotation()], None, ()),
        ([annotation(1)], 1, ()),
        ([annotation(2, {"start_token": 16, "end_token": 17})], 1, (Answer("Ulm", 13, 1),)),  # nested: the one around
        ([annotation(1, yes_no="NO")], 1, (Answer("no", None, 1),)),
        ([annotation(0, TWICE), annotation(), annotation(), annotation(), annotation()], None, ()),  # one of five
        ([annotation(0, TWICE), annotation(0), annotation(1)], 0, ()),
        (
            [annotation(1, {"start_token": 18, "end_token": 21}), annotation(0, TWICE), annotation(0, TWICE)],
            0,
            (Answer("twice", 19), Answer("there is none", 22, 1)),
        ),
        ([], None, None),
    ],
)
def test_natural_questions_annotators(
    annotations: list[Any], relevant: int | None, answers: Any, tmp_path: Path, read: Read
) -> None:
    example = read_natural(tmp_path, read, *annotations)
    assert (example.relevant, example.answers) == (relevant, answers)


def test_natural_questions_test_file_and_documents_without_candidates(tmp_path: Path, read: Read) -> None:
    question = natural(long_answer_candidates=[])
    del question["annotations"]
    (example,), _ = read("natural_questions", write_lines(tmp_path / "test.jsonl", question))
    assert example.contexts == (DOCUMENT,) and not example.labelled


def test_natural_questions_tokens_beyond_the_document(tmp_path: Path, read: Read) -> None:
    path = write_lines(tmp_path / "nq.jsonl", natural(annotation(0, {"start_token": 8, "end_token": 99})))
    with pytest.raises(DataError, match=r"short_answers\[0\]\.end_token.*no tokens 8 to 99 in a document of 23"):
        read("natural_questions", path)
    assert read("natural_questions", path, {"bad_reference": "skip"})[1].skipped == 1


@given(st.text(" ab", max_size=20))
def test_tokens_are_those_between_single_blanks(text: str) -> None:
    tokens = Tokens.of(text)
    assert [text[slice(*tokens.characters(at, at + 1))] for at in range(len(tokens))] == text.split(" ")
    for first in range(len(tokens)):
        for stop in range(first + 1, len(tokens) + 1):
            assert text[slice(*tokens.characters(first, stop))] == " ".join(text.split(" ")[first:stop])


# ------------------------------------------------------------------------------------------------------------- NewsQA
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


def test_newsqa_the_answer_that_most_agreed_on_comes_first(write_json: Any, read: Read) -> None:
    validated = [SPAN | {"count": 2}, {"badQuestion": True, "count": 1}]
    question = news(SPAN, LONGER, SPAN, {"noAnswer": True}, validated=validated)
    (example,), problems = read("newsqa", write_json({"data": [story(question)], "version": "1"}))
    assert (example.id, example.document) == ("./news/stories/1.story:0", "./news/stories/1.story")
    assert example.answers == (Answer("twice", AT_TWICE), Answer("twice on Monday,", AT_TWICE))
    assert not problems.counts


@pytest.mark.parametrize(("consensus", "answers"), [({"noAnswer": True}, ()), ({"badQuestion": True}, None)])
def test_newsqa_no_answer_and_bad_questions(consensus: Any, answers: Any, write_json: Any, read: Read) -> None:
    (example,), _ = read("newsqa", write_json({"data": [story(news(consensus, SPAN))]}))
    assert example.answers == answers


def test_newsqa_reads_one_split(write_json: Any, read: Read) -> None:
    path = write_json({"data": [story(news(SPAN, SPAN)), story(news(SPAN, SPAN), news(SPAN), kind="dev")]})
    assert [len(read("newsqa", path, {"duplicate_id": "repair"}, split=split)[0]) for split in (None, "dev")] == [3, 2]


def news_csv(path: Path, columns: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["story_id", "question", "story_text", *columns], ["s1", "How often?", STORY, *columns.values()]]
        )
    return path


@pytest.mark.parametrize(
    ("ranges", "validated", "answers"),
    [
        (f"{AT_TWICE}:{AT_TWICE + 6}|None|{AT_TWICE}:{AT_TWICE + 6},0:3", "", ("twice", "ULM")),
        ("None|None|0:3", "", ()),
        (f"0:3|{AT_TWICE}:{AT_TWICE + 5}|None", f'{{"none": 1, "{AT_TWICE}:{AT_TWICE + 5}": 2}}', ("twice", "ULM")),
        ("0:3|None", '{"none": 2, "0:3": 1}', ()),
        ("0:3|None", '{"bad_question": 2, "0:3": 1}', None),
        ("", "", None),
    ],
)
def test_newsqa_combined_csv(ranges: str, validated: str, answers: Any, tmp_path: Path, read: Read) -> None:
    cells = {
        "answer_char_ranges": ranges,
        "is_answer_absent": "0.0",
        "is_question_bad": "0.0",
        "validated_answers": validated,
    }
    (example,), _ = read("newsqa", news_csv(tmp_path / "combined.csv", cells))
    found = example.answers
    assert (found if not found else tuple(answer.text for answer in found)) == answers
    assert example.id == "s1:0"


def test_newsqa_tokenized_csv(tmp_path: Path, read: Read) -> None:
    (example,), _ = read("newsqa", news_csv(tmp_path / "train.csv", {"answer_token_ranges": "3:6,0:1"}))
    assert [answer.text for answer in example.answers] == ["The tide rose", "ULM"]
    with pytest.raises(DataError, match="no tokens 90 to 91 in a story of"):
        read("newsqa", news_csv(tmp_path / "train.csv", {"answer_token_ranges": "90:91"}))


# ----------------------------------------------------------------------------------------------------------- TriviaQA
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


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A folder ``qa`` beside the documents."""
    (tmp_path / "evidence" / "wikipedia").mkdir(parents=True)
    (tmp_path / "evidence" / "web" / "33").mkdir(parents=True)
    (tmp_path / "evidence" / "wikipedia" / "Danube.txt").write_text(WIKI)
    (tmp_path / "evidence" / "web" / "33" / "33_1.txt").write_text(WEB)
    (tmp_path / "qa").mkdir()
    return tmp_path / "qa" / "web-train.json"


def test_triviaqa_finds_the_names_of_the_answer_in_the_documents(evidence: Path, read: Read) -> None:
    evidence.write_text(json.dumps({"Data": [trivia()], "Domain": "Web", "Version": 1.0}))
    (wiki, web), _ = read("triviaqa", evidence, {"answer_ambiguous": "all", "answer_case": "repair"})
    assert (wiki.id, web.id, web.document) == ("tc_33--Danube.txt", "tc_33--33/33_1.txt", "tc_33")
    assert wiki.answers[0] == Answer("Ulm", 22, 0, ((31, 42),))  # no part of a longer name, nor of a word
    assert {answer.text for answer in wiki.answers} == {"Ulm", "City of Ulm", "Ulm (Donau)"}
    assert web.answers[0] == Answer("ULM", 7)
    (whole,), _ = read("triviaqa", evidence, together=True)
    assert whole.contexts == (WIKI, WEB)


def test_triviaqa_of_the_hub_holds_its_documents(tmp_path: Path, read: Read) -> None:
    row = {
        "question": "Which town lies on the Danube?",
        "question_id": "tc_33",
        "entity_pages": {"filename": ["Danube.txt"], "title": ["Danube"], "wiki_context": [WIKI]},
        "search_results": {"filename": ["33/33_1.txt"], "rank": [0], "search_context": [WEB]},
        "answer": {"value": "Vienna", "aliases": []},
    }
    first, second = read(
        "triviaqa", write_lines(tmp_path / "t.jsonl", row, row | {"question_id": "2", "answer": {"value": "<unk>"}})
    )[0][1:3]
    assert first.answers == (Answer("Vienna", 12),)
    assert second.id == "2--Danube.txt" and second.answers is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../qa/secret.txt", "is not in the folder"),
        ("/etc/passwd", "is not in the folder"),
        ("none.txt", "there is no document"),
        ("a" * 5000, "there is no document"),
        (3, "should name a file as text, not the number 3"),
    ],
)
def test_triviaqa_opens_documents_below_its_folder_only(
    name: Any, message: str, evidence: Path, tmp_path: Path, read: Read
) -> None:
    (evidence.parent / "secret.txt").write_text("Ulm")
    evidence.write_text(json.dumps({"Data": [trivia(EntityPages=[{"Filename": name}], SearchResults=[])]}))
    with pytest.raises(DataError, match=message):
        read("triviaqa", evidence)


def test_triviaqa_without_its_documents_says_which_setting(tmp_path: Path, write_json: Any, read: Read) -> None:
    with pytest.raises(DataError, match="the reader's setting `evidence`"):
        read("triviaqa", write_json({"Data": [trivia()]}))
    with pytest.raises(DataError, match="the question has no documents"):
        read("triviaqa", write_json({"Data": [trivia(EntityPages=[], SearchResults=[])]}))


# ------------------------------------------------------------------------------------------------ brat, Label Studio
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


def test_brat_asks_each_type_of_each_text(tmp_path: Path, read: Read) -> None:
    examples, problems = read("brat", brat(tmp_path))
    assert {example.id: example.answers for example in examples} == {
        "note:Person": (Answer("Ada", 0),),
        "note:Place": (Answer("Ulm", 15), Answer("Bonn", 22)),
        "note:Move": (Answer("moved to Bonn", None),),
    }
    assert {(each.question, each.contexts, each.document) for each in examples} == {
        (name, (NOTE,), "note") for name in ("Person", "Place", "Move")
    }
    assert dict(problems.counts) == {("answer_missing", "kept"): 1}


def test_brat_a_whole_collection_with_the_types_of_its_configuration(tmp_path: Path, read: Read) -> None:
    (tmp_path / "annotation.conf").write_text(
        "# types\n[entities]\nPerson\n!Abstract\n\tPlace\tName:<STRING>\n[relations]\nMoved Arg1:Person, Arg2:Place\n"
    )
    brat(tmp_path / "a")
    brat(tmp_path / "b", text="Nothing.", standoff="")
    examples, _ = read("brat", tmp_path / "annotation.conf")
    assert [example.id for example in examples] == ["a/note:Person", "a/note:Place", "b/note:Person", "b/note:Place"]
    assert examples[2].answers == ()
    assert [each.id for each in read("brat", tmp_path / "a" / "note.ann", types=["Place"])[0]] == ["note:Place"]


def test_brat_spans_over_lines_and_wrong_offsets(tmp_path: Path, read: Read) -> None:
    path = brat(tmp_path, standoff="T1\tMove 15 18;19 26\tUlm to Bonn\nT2\tMonth 29 32\tMay\n")
    (move, month), problems = read("brat", path)
    assert move.answers == (Answer("Ulm\nto Bonn", 15),)
    assert month.answers == (Answer("May", 30),)
    assert dict(problems.counts) == {("answer_offset", "repaired"): 1}
    with pytest.raises(DataError, match=r"note\.ann, line 1, field 'T1': should be a type with characters"):
        read("brat", brat(tmp_path, standoff="T1\tMove fifteen\tUlm\n"))


@given(st.binary(max_size=60) | st.text("T1#\tab 09;\n", max_size=60).map(str.encode), st.text(max_size=20))
def test_brat_any_bytes_are_read_or_refused(standoff: bytes, text: str) -> None:
    reader = load_registry().build("readers", "brat", {}, NoRuntime())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "note.ann"
        path.write_bytes(standoff)
        path.with_suffix(".txt").write_text(text, "utf-8", "surrogatepass", newline="")
        for policy in ("error", "skip", "keep", "repair"):
            with suppress(DataError):
                for example in read_examples(reader, path, policies={"default": policy}).examples:
                    (context,) = example.contexts
                    assert example.question and context == text.removeprefix("\ufeff")
                    assert all(context[first:end] for answer in example.answers or () for first, end in answer.places)


def test_brat_annotations_of_a_predicted_file_are_not_read(tmp_path: Path) -> None:
    path = brat(tmp_path, standoff="T1\tPlace fifteen\tUlm\n")
    reader = load_registry().build("readers", "brat", {"types": ["Place"]}, NoRuntime())
    (example,) = read_examples(reader, path, predicted_only=True).examples
    assert (example.id, example.answers) == ("note:Place", None)


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


def test_label_studio_asks_each_label_of_each_text(write_json: Any, read: Read) -> None:
    choice = {"value": {"choices": ["good"]}, "from_name": "c", "to_name": "text", "type": "choices"}
    noted = labelled((15, 18, "Place"), (0, 3, "Person"))
    noted["result"].append(choice)
    cancelled = labelled((22, 26, "Place"), was_cancelled=True)
    examples, problems = read("label_studio", write_json([task(noted, cancelled), task(number=2)]))
    assert {example.id: example.answers for example in examples} == {
        "1:Place": (Answer("Ulm", 15),),
        "1:Person": (Answer("Ada", 0),),
        "2:Place": None,
        "2:Person": None,
    }
    assert not problems.counts
    one, *_ = read("label_studio", write_json([task(labelled())]), labels=["Place"])[0]
    assert one.answers == ()


def test_label_studio_with_a_question_for_each_task(write_json: Any, read: Read) -> None:
    bare = labelled((22, 26, "Answer"))
    del bare["result"][0]["value"]["text"]  # exports need not repeat it
    path = write_json([task(bare, labelled((15, 26, "Answer")), question="Where to?")])
    (example,), _ = read("label_studio", path, question="question")
    assert (example.id, example.question) == ("1", "Where to?")
    assert example.answers == (Answer("Bonn", 22), Answer("Ulm\nto Bonn", 15))


def test_label_studio_offsets_are_checked(write_json: Any, read: Read) -> None:
    wrong = labelled((15, 18, "Place"))
    wrong["result"][0]["value"] |= {"end": 19}
    _, problems = read("label_studio", write_json([task(wrong)]))
    assert dict(problems.counts) == {("answer_end", "repaired"): 1}
    with pytest.raises(DataError, match="no span in the file has a label"):
        read("label_studio", write_json([task()]))


# ------------------------------------------------------------------------------------------------ what needs no reader
def test_tydi_gold_passages_are_squads(write_json: Any, read: Read) -> None:
    question = {
        "question": "Kuinka usein vuorovesi nousee?",
        "answers": [{"text": "twice", "answer_start": 15}],
        "id": "finnish-8424219-1",
    }
    path = write_json(
        {"data": [{"paragraphs": [{"qas": [question], "context": TIDE}]}], "version": "TyDiQA-GoldP-1.1-for-SQuAD-1.1"}
    )
    (example,), _ = read("squad", path)
    assert (example.id, example.answers, example.document) == ("finnish-8424219-1", (Answer("twice", 15),), "")


# ------------------------------------------------------------------------------------------- which format a file has
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


@pytest.mark.parametrize("name", PUBLISHED)
def test_init_knows_which_reader_a_file_wants(name: str, tmp_path: Path) -> None:
    write, reader, settings = PUBLISHED[name]
    found = understand(write(tmp_path), load_registry())
    assert (found.name, dict(found.settings)) == (reader, settings)


def test_init_reads_the_beginning_of_json_lines_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 17 GB, as Natural Questions has them, fit into no memory."""
    whole: list[Path] = []
    monkeypatch.setattr("qakit_readers.files.read_bytes", lambda path: whole.append(path) or path.read_bytes())
    understand(PUBLISHED["Natural Questions"][0](tmp_path), load_registry())
    assert whole == []
    understand(PUBLISHED["HotpotQA"][0](tmp_path), load_registry())
    assert whole


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("MRQA", "squad"),
        ("Natural Questions", "squad"),
        ("HotpotQA", "squad"),
        ("NewsQA, combined", "squad"),
        ("TriviaQA", "squad"),
        ("TriviaQA", "hotpotqa"),
        ("Label Studio", "triviaqa"),
        ("TyDi's gold passages", "mrqa"),
        ("HotpotQA", "label_studio"),
    ],
)
def test_another_formats_reader_says_what_the_file_looks_like(
    name: str, reader: str, tmp_path: Path, read: Read
) -> None:
    write, wanted, _ = PUBLISHED[name]
    with pytest.raises(DataError, match=f"this looks like the {wanted} format"):
        read(reader, write(tmp_path))


@pytest.mark.parametrize("name", PUBLISHED)
def test_labels_of_files_that_are_only_predicted_are_left_alone(name: str, tmp_path: Path) -> None:
    path = PUBLISHED[name][0](tmp_path)
    reader = understand(path, load_registry()).reader
    known, asked = (read_examples(reader, path, predicted_only=only).examples for only in (False, True))
    assert any(example.labelled for example in known) and not any(example.labelled for example in asked)
    unlabelled = {"answers": None, "relevant": None}
    assert [replace(example, **unlabelled) for example in known] == list(asked)  # type: ignore[arg-type]
