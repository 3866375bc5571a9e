"""``qakit.pipeline`` is what ``pipeline("question-answering")`` of transformers 4 was.

The cases of its own tests are counted in ``test_question_answering_cases.py``; here is the rest.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import published
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from old_pipeline import Reference
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

import qakit
from qakit.errors import UsageError
from qakit.inference.question_answering import Parameters, QuestionAnsweringPipeline

FOUNDED, FIELD = "Where was HuggingFace founded ?", "In what field is HuggingFace working ?"
PARIS, STARTUP = "HuggingFace was founded in Paris.", "HuggingFace is a startup based in New-York"
LONG = " ".join(
    f"In {year} the house number {year} of HuggingFace was founded near Paris." for year in range(1900, 1930)
)
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.publish("Bert", [FOUNDED, FIELD, PARIS, STARTUP, LONG], tmp_path_factory.mktemp("published") / "b")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> QuestionAnsweringPipeline:
    return qakit.pipeline("question-answering", model=str(folder), device="cpu")


def check(answer: Any, context: str) -> None:
    assert {key: type(value) for key, value in answer.items()} == {
        "score": float,
        "start": int,
        "end": int,
        "answer": str,
    }
    assert context[answer["start"] : answer["end"]] == answer["answer"]
    assert 0 < answer["score"] <= 1


# ------------------------------------------------------------------------------------------------- what comes back
def test_a_list_of_one_gives_one_dict_too(pipe: QuestionAnsweringPipeline) -> None:
    alone = pipe(question=FOUNDED, context=PARIS)
    assert pipe([{"question": FOUNDED, "context": PARIS}]) == alone
    assert pipe(question=[FOUNDED], context=[PARIS]) == alone
    assert pipe(question=[FOUNDED], context=PARIS) == alone


@pytest.mark.parametrize("name", ["X", "data"])
def test_old_names_of_the_items_are_understood(pipe: QuestionAnsweringPipeline, name: str) -> None:
    item = {"question": FOUNDED, "context": PARIS}
    alone = pipe(item)
    assert pipe(**{name: item}) == pipe(**{name: [item]}) == alone
    assert pipe(**{name: [item, item]}) == close_to([alone, alone])


def test_many_questions_give_a_list(pipe: QuestionAnsweringPipeline) -> None:
    alone = [pipe(question=each, context=PARIS) for each in (FOUNDED, FIELD)]
    assert pipe(question=[FOUNDED, FIELD], context=PARIS) == close_to(alone)
    items = [{"question": each, "context": PARIS} for each in (FOUNDED, FIELD)]
    assert pipe(items) == close_to(alone)
    assert pipe(*items) == close_to(alone)
    pairs = pipe(question=[FOUNDED, FIELD], context=[PARIS, STARTUP])
    assert pairs == close_to([alone[0], pipe(question=FIELD, context=STARTUP)])
    assert pipe([]) == []


def close_to(answers: list[Answer]) -> Any:
    """In a larger batch, the last bits of scores may differ."""
    return [
        {key: pytest.approx(value, abs=1e-5) if key == "score" else value for key, value in each.items()}
        for each in answers
    ]


def test_several_answers_are_a_list_of_different_texts_best_first(pipe: QuestionAnsweringPipeline) -> None:
    answers: Any = pipe(question=FOUNDED, context=PARIS, top_k=20)
    assert len(answers) > 1
    for answer in answers:
        check(answer, PARIS)
    texts = [answer["answer"].lower() for answer in answers]
    assert len(texts) == len(set(texts)) <= 20
    assert [answer["score"] for answer in answers] == sorted((each["score"] for each in answers), reverse=True)
    alone: Any = [pipe(question=each, context=PARIS, top_k=2) for each in (FOUNDED, FIELD)]
    assert pipe(question=[FOUNDED, FIELD], context=PARIS, top_k=2) == [close_to(each) for each in alone]
    assert pipe(question=FOUNDED, context=PARIS, topk=3) == pipe(question=FOUNDED, context=PARIS, top_k=3)


def test_a_context_with_a_single_text_gives_a_dict_whatever_top_k(pipe: QuestionAnsweringPipeline) -> None:
    check(pipe(question=FOUNDED, context="Paris", top_k=5), "Paris")


def test_arguments_may_be_given_once_for_all_calls(folder: Path, pipe: QuestionAnsweringPipeline) -> None:
    set_once = qakit.pipeline(model=folder, top_k=3, handle_impossible_answer=True, device=-1)
    wanted = pipe(question=FOUNDED, context=PARIS, top_k=3, handle_impossible_answer=True)
    assert set_once(question=FOUNDED, context=PARIS) == wanted
    check(set_once(question=FOUNDED, context=PARIS, top_k=1, handle_impossible_answer=False), PARIS)


def test_no_answer_is_an_empty_one_at_the_beginning(pipe: QuestionAnsweringPipeline) -> None:
    answers: Any = pipe(question=FOUNDED, context=PARIS, top_k=100, handle_impossible_answer=True)
    (empty,) = [answer for answer in answers if not answer["answer"]]
    assert (empty["start"], empty["end"]) == (0, 0)
    without: Any = pipe(question=FOUNDED, context=PARIS, top_k=100)
    assert all(answer["answer"] for answer in without)


@pytest.mark.parametrize("dtype", ["float16", torch.bfloat16, "float32"])
def test_other_precisions_are_possible(folder: Path, dtype: Any) -> None:
    answer: Any = qakit.pipeline(model=folder, dtype=dtype, device="cpu")(question=FOUNDED, context=PARIS)
    check(answer, PARIS)
    assert qakit.pipeline(model=folder, torch_dtype=dtype, device="cpu")(question=FOUNDED, context=PARIS) == answer


def test_objects_that_are_loaded_already_are_taken(folder: Path, pipe: QuestionAnsweringPipeline) -> None:
    model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    loaded = qakit.pipeline("question-answering", model=model, tokenizer=tokenizer)
    assert loaded(question=FOUNDED, context=PARIS) == pipe(question=FOUNDED, context=PARIS)
    assert qakit.pipeline(model=folder, tokenizer=str(folder))(FOUNDED, PARIS) == pipe(FOUNDED, PARIS)
    with pytest.raises(UsageError, match="a model object needs its tokenizer object"):
        qakit.pipeline(model=model)
    with pytest.raises(UsageError, match="a tokenizer object goes with a model object"):
        qakit.pipeline(model=folder, tokenizer=tokenizer)


# ------------------------------------------------------------------------------------------- the scores themselves
@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    return Reference(AutoModelForQuestionAnswering.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))


VOCABULARY = "Paris paris HuggingFace founded house, 1906 New-York. is in of the Zürich"
WORDS = st.sampled_from(VOCABULARY.split(" "))


@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(WORDS, min_size=1, max_size=90),
    top_k=st.integers(1, 12),
    max_answer_len=st.integers(1, 15),
    align=st.booleans(),
    impossible=st.booleans(),
    question=st.sampled_from([FOUNDED, FIELD, "Paris?"]),
)
def test_scores_are_those_of_the_old_pipeline(
    pipe: QuestionAnsweringPipeline,
    reference: Reference,
    words: list[str],
    top_k: int,
    max_answer_len: int,
    align: bool,
    impossible: bool,
    question: str,
) -> None:
    parameters = Parameters(
        top_k=top_k,
        doc_stride=12,
        max_answer_len=max_answer_len,
        max_seq_len=48,
        handle_impossible_answer=impossible,
        align_to_words=align,
    )
    context = " ".join(words)
    wanted = reference.answers(question, context, parameters)
    named = {name: getattr(parameters, name) for name in Parameters.__dataclass_fields__}
    found: Any = pipe(question=question, context=context, **named)
    found = [found] if isinstance(found, dict) else found
    assert [answer["score"] for answer in found] == pytest.approx([score for _, score in wanted], abs=1e-6)
    scores = dict(wanted)
    for answer in found:  # of equal scores either may come first
        if answer["answer"] in scores:
            assert answer["score"] == pytest.approx(scores[answer["answer"]], abs=1e-6)
        else:
            assert math.isclose(answer["score"], wanted[-1][1], abs_tol=1e-6)
