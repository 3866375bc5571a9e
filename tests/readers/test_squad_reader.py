"""SQuAD 1.1, 2.0 and their relatives."""

from __future__ import annotations

from typing import Any

import pytest

from qakit.api import Answer, DataError

CONTEXT = "Paris is in France. France is large."


def squad(*questions: Any, context: Any = CONTEXT, **article: Any) -> dict[str, Any]:
    return {"data": [{"title": "Paris", **article, "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def question(**fields: Any) -> dict[str, Any]:
    return {"id": "q1", "question": "Where?", "answers": [{"text": "France", "answer_start": 12}], **fields}


def answered(text: Any, start: Any) -> dict[str, Any]:
    return question(answers=[{"text": text, "answer_start": start}])


def test_an_example_has_everything(write_json, read):
    (example,), problems = read("squad", write_json(squad(question())))
    assert (example.id, example.question, example.contexts, example.document) == ("q1", "Where?", (CONTEXT,), "Paris")
    assert example.answers == (Answer("France", 12),)
    assert not problems.counts


@pytest.mark.parametrize(
    ("labelled", "questions", "expected"),
    [
        ("auto", [{"answers": []}], [None]),  # a test file: no label anywhere
        ("auto", [{}], [None]),
        ("auto", [{"answers": [], "is_impossible": True}], [()]),
        ("auto", [{"answers": [], "is_impossible": True}, {"answers": []}], [(), ()]),
        ("auto", [{"answers": [{"text": "Paris", "answer_start": 0}]}, {"answers": []}], [(Answer("Paris", 0),), ()]),
        ("auto", [{"is_impossible": True}], [()]),
        (True, [{"answers": []}], [()]),
        (False, [{"answers": [{"text": "Paris", "answer_start": 0}]}], [None]),
    ],
)
def test_unanswerable_or_unlabelled(labelled, questions, expected, write_json, read):
    file = squad(*({"id": str(n), "question": "?", **fields} for n, fields in enumerate(questions)))
    examples, _ = read("squad", write_json(file), labelled=labelled)
    assert [example.answers for example in examples] == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"is_impossible": True}, "id q1, field 'is_impossible': is true, but the question has answers"),
        ({"is_impossible": False, "answers": []}, "is false, but the question has no answer"),
        ({"is_impossible": "no"}, "should be true or false, not the text 'no'"),
        (
            {"id": None},
            r"data\[0\].paragraphs\[0\].qas\[0\], field 'id': an id should be text or a whole number, not null",
        ),
        ({"id": True}, "not true"),
        ({"id": 1.5}, "not the number 1.5"),
        ({"id": ""}, "the id is empty"),
        ({"question": ["a"]}, "id q1, field 'question': should be text, not a list of 1"),
        ({"answers": {"text": ["a"], "answer_start": [1, 2]}}, "field 'answers': there are 1 texts and 2 offsets"),
        ({"answers": [12]}, r"field 'answers\[0\]': should be an object with fields, not the number 12"),
        ({"answers": "France"}, "should be a list of answers, not the text 'France'; the table reader's `answer_text`"),
        ({"answers": [{"text": 5, "answer_start": 1}]}, r"field 'answers\[0\].text': should be text, not the number 5"),
        ({"answers": [{"text": "Paris", "answer_start": "0x"}]}, "should be a whole number, not the text '0x'"),
        (
            {"answers": [{"text": "Paris", "answer_start": float("nan")}]},
            "should be a whole number, not the number nan",
        ),
    ],
)
def test_wrong_fields_stop_or_are_skipped(fields, message, write_json, read):
    path = write_json(squad({**question(), **fields}, question(id="good")))
    with pytest.raises(DataError, match=message) as caught:
        read("squad", path)
    kind = str(caught.value).rsplit("data.problems.", 1)[1].split()[0]  # the message says how to continue
    examples, problems = read("squad", path, {kind: "skip"})
    assert [example.id for example in examples] == ["good"]
    assert problems.counts == {(kind, "skipped"): 1}


def test_integer_ids_become_text_and_missing_ids_are_named_by_place(write_json, read):
    (example,), _ = read("squad", write_json(squad(question(id=17))))
    assert example.id == "17"
    without = {key: value for key, value in question().items() if key != "id"}
    with pytest.raises(DataError, match=r"data\[0\].paragraphs\[0\].qas\[1\], field 'id': the field is missing"):
        read("squad", write_json(squad(question(), without)))


def test_a_broken_paragraph_counts_all_its_questions(write_json, read):
    file = squad(question(), question(id="q2"), context=["not", "text"])
    file["data"] += squad(question(id="q3"))["data"] + ["an article"]
    examples, problems = read("squad", write_json(file), {"wrong_type": "skip"})
    assert [example.id for example in examples] == ["q3"]
    assert problems.counts == {("wrong_type", "skipped"): 3}


def test_off_by_one_is_repaired_only_where_the_text_occurs_once(write_json, read):
    path = write_json(squad(answered("large", 29), answered("France", 11) | {"id": "q2"}))
    examples, problems = read("squad", path)
    assert [example.answers for example in examples] == [(Answer("large", 30),), (Answer("France", None),)]
    assert problems.counts == {("answer_offset", "repaired"): 1, ("answer_ambiguous", "kept"): 1}
    assert problems.examples["answer_offset"][0].message == (
        "the answer 'large' occurs once, at character 30; it is not at character 29"
    )


def test_overlapping_occurrences_are_two(write_json, read):
    (example,), problems = read("squad", write_json(squad(answered("aa", 9), context="b aaa")))
    assert example.answers == (Answer("aa", None),)
    assert problems.counts == {("answer_ambiguous", "kept"): 1}


@pytest.mark.parametrize("start", [-1, 10**30, 3])
def test_answer_that_is_not_in_the_context(start, write_json, read):
    path = write_json(squad(answered("Spain", start)))
    (example,), problems = read("squad", path)
    assert example.answers == (Answer("Spain", None),)
    assert problems.counts == {("answer_missing", "kept"): 1}
    with pytest.raises(DataError, match=r"field 'answers\[0\].text': the answer 'Spain' is not in the context"):
        read("squad", path, {"answer_missing": "error"})
    assert read("squad", path, {"answer_missing": "skip"})[0] == ()


def test_negative_offsets_never_count_from_the_end(write_json, read):
    (example,), _ = read("squad", write_json(squad(answered("large.", -6))))
    assert example.answers == (Answer("large.", 30),)


def test_empty_texts(write_json, read):
    path = write_json(squad(question(question="  "), answered("", 3) | {"id": "q2"}))
    examples, problems = read("squad", path)
    assert examples[1].answers == (Answer("", None),)
    assert problems.counts == {("empty_question", "kept"): 1, ("empty_answer", "kept"): 1}
    _, problems = read("squad", write_json(squad(question(), context="")))
    assert problems.counts == {("empty_context", "kept"): 1, ("answer_missing", "kept"): 1}


def test_lone_surrogates_are_replaced_without_moving_offsets(write_json, read):
    context = "a\ud800b Paris \U0001f5fc Tour"
    (example,), problems = read("squad", write_json(squad(answered("Tour", 12), context=context)))
    assert example.contexts == ("a\ufffdb Paris \U0001f5fc Tour",)
    assert example.answers == (Answer("Tour", 12),)
    assert problems.counts == {("lone_surrogate", "repaired"): 1}


def test_control_characters_and_line_ends_are_kept(write_json, read):
    context = "a\x00b\r\nc\u200b\u3000\ufeffParis"
    (example,), problems = read("squad", write_json(squad(answered("Paris", 9), context=context)))
    assert example.contexts == (context,)
    assert example.answers == (Answer("Paris", 9),)
    assert not problems.counts


def test_document_falls_back_to_the_paragraph_id(write_json, read):
    paragraph = {"id": "DEV_0", "context": CONTEXT, "qas": [question()]}
    (example,), _ = read("squad", write_json({"data": [{"title": "", "paragraphs": [paragraph]}]}))
    assert example.document == "DEV_0"
    del paragraph["id"]
    (example,), _ = read("squad", write_json({"data": [{"paragraphs": [paragraph]}]}))
    assert example.document == ""


def test_unused_paragraphs_need_no_context(write_json, read):
    assert read("squad", write_json({"data": [{"paragraphs": [{"qas": []}]}]}))[0] == ()


@pytest.mark.parametrize("start", [{}, {"answer_start": None}])
def test_an_answer_without_an_offset_is_placed_where_it_occurs_once(start, write_json, read):
    path = write_json(squad(question(answers=[{"text": "Paris", **start}, {"text": "France", **start}])))
    (example,), problems = read("squad", path)
    assert example.answers == (Answer("Paris", 0), Answer("France", None))
    assert problems.counts == {("answer_offset", "repaired"): 1, ("answer_ambiguous", "kept"): 1}
    assert read("squad", path, {"answer_offset": "keep"})[0][0].answers == (
        Answer("Paris", None),
        Answer("France", None),
    )
    with pytest.raises(DataError, match="occurs once, at character 0; the file has no offset for it"):
        read("squad", path, {"answer_offset": "error"})


@pytest.mark.parametrize("start", [30, "30", " 30 ", 30.0])
def test_offsets_in_any_spelling_of_a_whole_number(start, write_json, read):
    (example,), problems = read("squad", write_json(squad(answered("large", start))))
    assert example.answers == (Answer("large", 30),)
    assert not problems.counts


@pytest.mark.parametrize("start", ["thirty", True, 30.5, [30]])
def test_what_is_no_offset_is_an_error_or_as_good_as_none(start, write_json, read):
    path = write_json(squad(answered("large", start)))
    with pytest.raises(DataError, match=r"should be a whole number.*set data\.problems\.answer_start to skip or keep"):
        read("squad", path)
    (example,), problems = read("squad", path, {"answer_start": "keep"})
    assert example.answers == (Answer("large", 30),)
    assert problems.counts == {("answer_start", "kept"): 1, ("answer_offset", "repaired"): 1}


def test_a_kept_flag_gives_way_to_the_answers(write_json, read):
    path = write_json(squad(question(is_impossible=True), question(id="q2", is_impossible=False, answers=[])))
    examples, problems = read("squad", path, {"is_impossible": "keep"})
    assert [example.answers for example in examples] == [(Answer("France", 12),), ()]
    assert problems.counts == {("is_impossible", "kept"): 2}


FLAT = {"id": "q1", "title": "Paris", "context": CONTEXT, "question": "Where?"}
HUGGING_FACE = {"text": ["France"], "answer_start": [12]}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"version": "1", "data": [FLAT | {"answers": HUGGING_FACE}]}, id="run_qa"),
        pytest.param([FLAT | {"answers": HUGGING_FACE}], id="pandas, orient='records'"),
        pytest.param([FLAT | {"answers": [{"text": "France", "answer_start": 12}]}], id="flat, SQuAD's answers"),
        pytest.param([{"title": "Paris", "context": CONTEXT, "qas": [question()]}], id="simpletransformers"),
        pytest.param(squad(question())["data"], id="SQuAD without data"),
        pytest.param(
            {
                "data": [
                    {
                        "title": "Paris",
                        "context": CONTEXT,
                        "raw_html": "<p>",
                        "qas": [{"id": "q1", "question": "Where?", "answer": {"text": "France", "answer_start": 12}}],
                    }
                ]
            },
            id="KorQuAD 2",
        ),
    ],
)
def test_the_same_question_in_other_lists(document, write_json, read):
    (example,), problems = read("squad", write_json(document))
    assert (example.id, example.question, example.contexts, example.document) == ("q1", "Where?", (CONTEXT,), "Paris")
    assert example.answers == (Answer("France", 12),)
    assert not problems.counts


def test_cmrcs_own_form(write_json, read):
    entry = {
        "context_id": "TRIAL_1",
        "context_text": "清水寺位於東山，由延鎮上人創建。",
        "qas": [{"query_text": "誰創建？", "query_id": "TRIAL_1_Q_0", "answers": ["延鎮上人", "由延鎮上人"]}],
    }
    (example,), problems = read("squad", write_json([entry]))
    assert (example.id, example.question, example.document) == ("TRIAL_1_Q_0", "誰創建？", "TRIAL_1")
    assert example.answers == (Answer("延鎮上人", 9), Answer("由延鎮上人", 8))
    assert not problems.counts


def test_flat_questions_of_a_test_file_are_unlabelled(write_json, read):
    empty = {"text": [], "answer_start": []}
    path = write_json([FLAT | {"answers": empty}, FLAT | {"id": "q2", "answers": empty}])
    assert [example.answers for example in read("squad", path)[0]] == [None, None]
    path = write_json([FLAT | {"answers": empty}, FLAT | {"id": "q2", "answers": HUGGING_FACE}])
    assert [example.answers for example in read("squad", path)[0]] == [(), (Answer("France", 12),)]


def test_flat_records_with_other_names_are_sent_to_the_table_reader(write_json, read):
    with pytest.raises(DataError, match=r"record 1, field 'paragraphs': the field is missing; .* table reader .*--set"):
        read("squad", write_json([{"q": "Where?", "c": CONTEXT}]))


def test_a_key_that_comes_twice_is_told(tmp_path, read):
    path = tmp_path / "data.json"
    text = '{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "x", "id": "y", "question": "?"}]}]}]}'
    path.write_text(text)
    (example,), problems = read("squad", path)
    assert example.id == "y"
    assert problems.counts == {("repeated_key", "kept"): 1}
    with pytest.raises(
        DataError, match=r"qas\[0\], field 'id': the key comes twice in one object; the last one counts"
    ):
        read("squad", path, {"repeated_key": "error"})
    path.write_text('{"data": [], "data": []}')
    with pytest.raises(DataError, match="the key 'data' comes twice; which of the two is the data"):
        read("squad", path)
