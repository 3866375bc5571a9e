"""Kinds of problems and their policies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qakit.errors import DataError, UsageError
from qakit.problems import EXAMPLES_KEPT, PROBLEM_KINDS, ProblemKind, Problems, check_policies

FILE = Path("data.json")


def judge(problems, kind, *, repairable=False, records=1):
    return problems.judge(
        kind, row="id 7", field="answer", message="it is wrong", repairable=repairable, records=records
    )


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"name": "Odd"}, "problem kind 'Odd': its name is no name"),
        ({"name": "default"}, "its name is no name"),
        ({"meaning": "one\ntwo"}, "its meaning is not one line"),
        ({"policies": ("skip",), "default": "skip"}, "its policies are not among those of qakit, with 'error'"),
        ({"policies": ("error", "ignore")}, "its policies are not among"),
        ({"default": "keep"}, "its default is none of its policies"),
        ({"fallback": "keep"}, "its fallback is none of its policies"),
        ({"policies": ("error", "repair"), "repair": "mended", "fallback": "repair"}, "its fallback is none"),
        ({"policies": ("error", "repair")}, "its policies have 'repair', but it does not say what that does"),
    ],
)
def test_a_kind_that_no_recipe_could_use_is_refused(given, wrong):
    with pytest.raises(ValueError, match=re.escape(wrong)):
        ProblemKind(**{"name": "odd", "meaning": "it is odd"} | given)


def test_error_names_the_place_and_what_to_do():
    with pytest.raises(DataError) as caught:
        judge(Problems(FILE), "wrong_type")
    assert str(caught.value) == (
        "data.json, id 7, field 'answer': it is wrong (to continue, set data.problems.wrong_type to skip)"
    )


def test_repair_falls_back_where_it_is_not_certain():
    problems = Problems(FILE)
    assert judge(problems, "answer_offset", repairable=True) == "repair"
    assert judge(problems, "answer_offset") == "keep"
    assert problems.counts == {("answer_offset", "repaired"): 1, ("answer_offset", "kept"): 1}
    with pytest.raises(DataError):
        judge(problems, "lone_surrogate")  # its fallback is `error`


def test_default_reaches_only_the_kinds_that_allow_it():
    problems = Problems(FILE, {"default": "keep", "empty_answer": "skip"})
    assert judge(problems, "answer_missing") == "keep"
    assert judge(problems, "empty_answer") == "skip"
    with pytest.raises(DataError):
        judge(problems, "wrong_type")  # there is nothing to keep


def test_collecting_never_stops_and_says_where_training_would():
    problems = Problems(FILE, {"answer_missing": "error"}, collect=True)
    assert judge(problems, "answer_missing") == "keep"
    assert judge(problems, "wrong_type", records=4) == "skip"
    assert judge(problems, "empty_question") == "keep"
    assert problems.counts == {
        ("answer_missing", "stops"): 1,
        ("wrong_type", "stops"): 4,
        ("empty_question", "kept"): 1,
    }


def test_examples_are_few_and_of_every_outcome():
    problems = Problems(FILE)
    for _ in range(3 * EXAMPLES_KEPT):
        judge(problems, "answer_offset", repairable=True)
    judge(problems, "answer_offset")
    outcomes = [problem.outcome for problem in problems.examples["answer_offset"]]
    assert outcomes == ["repaired"] * EXAMPLES_KEPT + ["kept"]
    assert problems.describe() == [
        "data.json: answer_offset: 1 kept (first: id 7: it is wrong)",
        "data.json: answer_offset: 15 repaired (first: id 7: it is wrong)",
    ]


def test_skipped_records_are_counted():
    problems = Problems(FILE, {"default": "skip"})
    judge(problems, "wrong_type", records=4)
    judge(problems, "missing_field")
    assert problems.skipped == 5


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"answer_ofset": "skip"}, "there is no problem kind 'answer_ofset'; did you mean 'answer_offset'?"),
        ({"xyz": "skip"}, "there is no problem kind 'xyz'; known are answer_offset, "),
        ({"wrong_type": "keep"}, "problem kind 'wrong_type' cannot be 'keep': choose error, skip"),
        ({"mine:odd": "skip"}, "there is no problem kind 'mine:odd'"),
    ],
)
def test_impossible_policies_are_refused(policies, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        check_policies(policies, PROBLEM_KINDS)


def test_possible_policies_pass():
    check_policies({"default": "keep", "answer_offset": "repair"}, PROBLEM_KINDS)


@pytest.mark.parametrize("policies", [{}, {"default": "skip"}])
@pytest.mark.parametrize("collect", [False, True])
def test_a_kind_that_nobody_declares_cannot_be_reported(policies, collect):
    problems = Problems(FILE, policies, collect=collect, declared=(ProblemKind("odd_row", "a row that is odd"),))
    with pytest.raises(LookupError, match=r"kind 'my_kind', which is not declared; declare it in .* `problems`"):
        judge(problems, "my_kind")
    with pytest.raises(LookupError, match="did you mean 'answer_offset'"):
        judge(problems, "answer_ofset")
    with pytest.raises(LookupError, match="did you mean 'odd_row'"):
        judge(problems, "odd_rows")
    assert not problems.counts


def test_a_readers_own_kind_has_the_policies_that_it_declares():
    odd = ProblemKind("odd", "it is odd", "repair", ("error", "repair", "keep"), "keep", "it becomes even")
    assert judge(Problems(FILE, declared=(odd,)), "odd", repairable=True) == "repair"
    assert judge(Problems(FILE, declared=(odd,)), "odd") == "keep"
    assert judge(Problems(FILE, {"default": "skip"}, declared=(odd,)), "odd") == "keep"
    with pytest.raises(DataError, match=r"set data\.problems\.odd to repair or keep"):
        judge(Problems(FILE, {"odd": "error"}, declared=(odd,)), "odd")
    strict = ProblemKind("answer_missing", "its own sense of it")
    with pytest.raises(DataError):
        judge(Problems(FILE, declared=(strict,)), "answer_missing")
