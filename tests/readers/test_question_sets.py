"""MRQA, HotpotQA, Natural Questions, NewsQA, TriviaQA, and TyDi QA's gold passages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readers.published_files import (
    AT_TWICE,
    DOCUMENT,
    LONGER,
    PARAGRAPHS,
    SPAN,
    TIDE,
    TWICE,
    WEB,
    WIKI,
    annotation,
    asked,
    detected,
    hotpot,
    mrqa,
    natural,
    news,
    news_csv,
    story,
    trivia,
    write_lines,
)

from qakit.api import Answer, DataError
from qakit_readers.tokens import Tokens

Read = Callable[..., Any]


def read_natural(tmp_path: Path, read: Read, *annotations: dict[str, Any], **fields: Any) -> Any:
    (example,), problems = read(
        "natural_questions", write_lines(tmp_path / "nq.jsonl", natural(*annotations, **fields))
    )
    assert not problems.counts
    return example


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A folder ``qa`` beside the documents."""
    (tmp_path / "evidence" / "wikipedia").mkdir(parents=True)
    (tmp_path / "evidence" / "web" / "33").mkdir(parents=True)
    (tmp_path / "evidence" / "wikipedia" / "Danube.txt").write_text(WIKI)
    (tmp_path / "evidence" / "web" / "33" / "33_1.txt").write_text(WEB)
    (tmp_path / "qa").mkdir()
    return tmp_path / "qa" / "web-train.json"


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


def test_mrqa_files_in_a_row_have_a_header_each(tmp_path: Path, read: Read) -> None:
    one, other = (mrqa({**asked(answers=["twice"]), "qid": name}) for name in "ab")
    assert [each.id for each in read("mrqa", write_lines(tmp_path / "all.jsonl", *one, *other))[0]] == ["a", "b"]


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


def test_triviaqa_documents_without_text_are_none(evidence: Path, read: Read) -> None:
    (evidence.parent.parent / "evidence" / "web" / "33" / "33_1.txt").write_bytes(b"")
    evidence.write_text(json.dumps({"Data": [trivia()]}))
    assert [each.id for each in read("triviaqa", evidence)[0]] == ["tc_33--Danube.txt"]


def test_triviaqa_without_its_documents_says_which_setting(tmp_path: Path, write_json: Any, read: Read) -> None:
    with pytest.raises(DataError, match="the reader's setting `evidence`"):
        read("triviaqa", write_json({"Data": [trivia()]}))
    with pytest.raises(DataError, match="the question has no documents"):
        read("triviaqa", write_json({"Data": [trivia(EntityPages=[], SearchResults=[])]}))


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
