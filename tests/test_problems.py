"""Kinds of problems and their policies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qakit.errors import DataError, PluginError, UsageError
from qakit.problems import EXAMPLES_KEPT, PROBLEM_KINDS, Problems, check_policies

FILE = Path("data.json")


def judge(problems, kind, *, repairable=False, records=1):
    return problems.judge(
        kind, row="id 7", field="answer", message="it is wrong", repairable=repairable, records=records
    )


@pytest.mark.parametrize("kind", PROBLEM_KINDS.values(), ids=lambda kind: kind.name)
def test_the_table_is_consistent(kind):
    assert "error" in kind.policies
    assert kind.default in kind.policies
    assert kind.fallback in kind.policies
    assert kind.fallback != "repair"
    assert ("repair" in kind.policies) == bool(kind.repair)
    assert re.fullmatch("[a-z_]+", kind.name)


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
    assert problems.policy("answer_missing") == "keep"
    assert problems.policy("empty_answer") == "skip"
    assert problems.policy("wrong_type") == "error"  # there is nothing to keep
    assert problems.policy("mine:odd") == "keep"
    assert Problems(FILE).policy("mine:odd") == "error"


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
    judge(problems, "bad_row")
    assert problems.skipped == 5


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"answer_ofset": "skip"}, "there is no problem kind 'answer_ofset'; did you mean 'answer_offset'?"),
        ({"xyz": "skip"}, "there is no problem kind 'xyz'; known are answer_offset, "),
        ({"wrong_type": "keep"}, "problem kind 'wrong_type' cannot be 'keep': choose error, skip"),
        ({"bad_row": "ignore"}, "the policy 'ignore' is none of error, skip, repair, keep"),
    ],
)
def test_impossible_policies_are_refused(policies, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        check_policies(policies)


def test_possible_policies_pass():
    check_policies({"default": "keep", "answer_offset": "repair", "mine:odd": "skip"})


@pytest.mark.parametrize("policies", [{}, {"default": "skip"}])
@pytest.mark.parametrize("collect", [False, True])
def test_a_kind_of_a_plugin_needs_a_colon(policies, collect):
    problems = Problems(FILE, policies, collect=collect)
    with pytest.raises(PluginError) as caught:
        judge(problems, "my_kind")
    assert str(caught.value) == (
        "'my_kind' is not a kind of qakit; a plugin's own kind has a colon, e.g. 'cards:my_kind'"
    )
    with pytest.raises(PluginError, match=r"\(did you mean 'answer_offset'\?\)"):
        judge(problems, "answer_ofset")
    assert not problems.counts


def test_a_kind_of_a_plugin_is_an_error_unless_the_recipe_says_otherwise():
    with pytest.raises(DataError, match=r"set data\.problems\.mine:odd to skip"):
        judge(Problems(FILE), "mine:odd")
    assert judge(Problems(FILE, {"mine:odd": "skip"}), "mine:odd") == "skip"
    assert judge(Problems(FILE, {"mine:odd": "repair"}), "mine:odd", repairable=True) == "repair"


def test_the_documentation_lists_every_kind_with_its_policies():
    page = (Path(__file__).resolve().parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\w+)[^|]* \| ([\w, ]+) \|$", page, flags=re.MULTILINE)
    listed = {name: (default, tuple(policies.split(", "))) for name, default, policies in rows}
    assert listed == {kind.name: (kind.default, kind.policies) for kind in PROBLEM_KINDS.values()}
