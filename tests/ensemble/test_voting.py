"""Majority voting."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.errors import UsageError
from qakit.protocols import EnsembleMember, Ensembler, NoRuntime
from qakit.values import Answer, Candidate, Example, LabelPrediction, NoAnswer, Prediction, SpanPrediction
from qakit_ensemble import VOTING, VotingSettings
from qakit_ensemble.voting import Voting


def sure(answer: str, probability: float) -> SpanPrediction:
    """An answer with its probability, or "" with that of no answer."""
    if not answer:
        return SpanPrediction("q", "", null=NoAnswer(0.0, probability))
    return SpanPrediction("q", answer, (Candidate(answer, 0, len(answer), 0, 0.0, probability),))


def vote(*ballots: str | Prediction, **settings: Any) -> Prediction:
    members = [[SpanPrediction("q", item) if isinstance(item, str) else item] for item in ballots]
    return Voting(VotingSettings(**settings)).combine(members)[0]


def answer(*ballots: str | Prediction, **settings: Any) -> str:
    result = vote(*ballots, **settings)
    assert isinstance(result, SpanPrediction)
    return result.answer


def test_the_majority_wins() -> None:
    assert answer("乙", "甲", "甲") == "甲"
    assert answer("x", "", "") == ""


def test_light_normalisation_is_for_comparing_only() -> None:
    assert answer("甲", "（乙）", "(乙) ") == "（乙）"
    assert answer("甲", "（乙）", "(乙)", "(乙)") == "(乙)"


def test_case_makes_a_difference() -> None:
    assert answer("a", "A", "a") == "a"


def test_weights() -> None:
    assert answer("甲", "乙", "乙", weights=[3, 1, 1]) == "甲"
    assert answer("甲", "乙", "丙", weights=[0, 1, 2]) == "丙"
    assert answer("丙", "甲", "乙", "乙", weights=[0, 0.3, 0.1, 0.2]) == "甲"  # 0.1 + 0.2 ties with 0.3


def test_ties_go_to_the_higher_probabilities() -> None:
    assert answer(sure("甲", 0.4), sure("乙", 0.6)) == "乙"
    assert answer(sure("甲", 0.4), sure("", 0.6)) == ""
    assert answer(sure("甲", 0.4), sure("乙", 0.6), ties="first") == "甲"


def test_ties_without_full_knowledge_go_to_the_earlier_member() -> None:
    assert answer("甲", "乙") == "甲"
    assert answer("甲", sure("乙", 0.9)) == "甲"
    assert answer(sure("甲", 0.5), sure("乙", 0.5)) == "甲"


def test_a_cleaned_answer_has_its_best_candidates_probability() -> None:
    assert answer(sure("甲", 0.4), sure("1,912", 0.6).with_answer("1912")) == "1912"


def test_the_winner_keeps_its_candidates() -> None:
    winner = sure("乙", 0.9)
    assert vote("甲", winner, "乙") is winner


def test_classes_are_voted_on_and_numbers_are_refused() -> None:
    assert vote(LabelPrediction("q", "x"), LabelPrediction("q", "y"), LabelPrediction("q", "y")).id == "q"
    assert vote(LabelPrediction("q", "x"), LabelPrediction("q", "y")) == LabelPrediction("q", "x")
    with pytest.raises(UsageError, match=r"'q' is a number \(1.5\)"):
        vote(LabelPrediction("q", 1.5), LabelPrediction("q", 2.5))


def test_order_is_the_first_members() -> None:
    one = [SpanPrediction("b", "1"), SpanPrediction("a", "2")]
    assert [item.id for item in Voting(VotingSettings()).combine([one, one[::-1]])] == ["b", "a"]


def test_members_that_do_not_fit() -> None:
    voting = Voting(VotingSettings())
    member = [SpanPrediction("a", "x")]
    with pytest.raises(UsageError, match="at least one member"):
        voting.combine([])
    with pytest.raises(UsageError, match="member 2 and member 1 have other ids, for example a, b"):
        voting.combine([member, [SpanPrediction("b", "x")]])
    with pytest.raises(UsageError, match="member 2 has an id more than once"):
        voting.combine([member, member * 2])
    with pytest.raises(UsageError, match="2 weights for 1 members"):
        Voting(VotingSettings(weights=(1, 2))).combine([member])


@pytest.mark.parametrize("weights", [[-1, 2], [0, 0], [float("nan"), 1], []])
def test_weights_that_cannot_be(weights: list[float]) -> None:
    with pytest.raises(ValidationError, match="weights"):
        VotingSettings(weights=tuple(weights))


BALLOTS = st.lists(st.sampled_from(["甲", "乙", "丙", "", "甲 "]), min_size=1, max_size=7)


@given(BALLOTS)
def test_no_answer_has_more_votes_than_the_winner(ballots: list[str]) -> None:
    stripped = [ballot.strip() for ballot in ballots]
    winner = answer(*ballots)
    assert winner in ballots
    assert all(stripped.count(winner.strip()) >= stripped.count(other) for other in stripped)


@given(BALLOTS, st.integers(2, 3))
def test_doubling_every_weight_changes_nothing(ballots: list[str], factor: int) -> None:
    assert answer(*ballots) == answer(*ballots, weights=[factor] * len(ballots))


def test_learning_takes_the_votes_that_make_most_winners_right() -> None:
    examples = [Example(f"q{n}", "?", ("甲 乙",), (Answer("甲", 0),)) for n in range(10)]

    def said(wrong: set[int]) -> EnsembleMember:
        return EnsembleMember("m", [SpanPrediction(f"q{n}", "乙" if n in wrong else "甲 ") for n in range(10)])

    pool = Voting(VotingSettings()).pool([said({1, 2, 3, 4}), said({1, 2, 3, 5}), said(set())], examples)
    weights, temperatures = pool.learn(range(10))
    right = [item.final.strip() == "甲" for item in pool.combine(weights, temperatures, n_best=1)]
    assert all(right)
    assert math.fsum(weights) == pytest.approx(1, abs=1e-3)
    assert not all(item.final.strip() == "甲" for item in pool.combine([1, 1, 1], temperatures, n_best=1))


def test_learning_knows_that_only_the_answer_with_most_votes_wins() -> None:
    examples = [Example(f"q{n}", "?", ("甲 乙",), (Answer("甲", 0),)) for n in range(9)]
    members = [
        EnsembleMember("m", [SpanPrediction(f"q{n}", "乙" if n % 3 == number else "甲") for n in range(9)])
        for number in range(3)
    ]
    weights, _ = Voting(VotingSettings()).pool(members, examples).learn(range(9))
    assert weights == pytest.approx((1 / 3,) * 3, abs=1e-3), "together they are always right, each alone is not"


def test_a_member_without_weight_has_no_say() -> None:
    members = [EnsembleMember("m", [SpanPrediction("q", text)]) for text in ("（甲）", "(甲)", "乙")]
    pool = Voting(VotingSettings()).pool(members, None)
    assert pool.combine([0, 1, 0.5], [1.0] * 3, n_best=1)[0].final == "(甲)"


def test_the_component_builds_it() -> None:
    assert isinstance(VOTING.build(VotingSettings(), NoRuntime()), Ensembler)
