"""Summed probabilities of candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from ensemble.made_up import questions, spread, sure
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.components import NoSettings
from qakit.errors import UsageError
from qakit.protocols import EnsembleMember, NoRuntime
from qakit.values import Answer, Candidate, Example, LabelPrediction, NoAnswer, Prediction, SpanPrediction
from qakit_ensemble import NBEST
from qakit_ensemble.fitting import HIGHEST
from qakit_ensemble.nbest import Nbest, Options

Shares = Mapping[str, float]


def pooled(*ballots: Prediction) -> Options:
    return Options.of([EnsembleMember(f"m{n}", [ballot]) for n, ballot in enumerate(ballots)], None)


def combined(*ballots: Prediction, weights: Sequence[float] | None = None, n_best: int = 20) -> SpanPrediction:
    count = len(ballots)
    (found,) = pooled(*ballots).combine(weights or [1 / count] * count, [1.0] * count, n_best=n_best)
    assert isinstance(found, SpanPrediction)
    return found


def test_many_second_places_beat_a_first_one() -> None:
    one, two, three = {"甲": 0.5, "乙": 0.4, "": 0.1}, {"丙": 0.5, "乙": 0.5}, {"乙": 0.4, "丁": 0.6}
    found = combined(*(spread("q", each) for each in (one, two, three)))
    assert found.answer == "乙"
    assert found.candidates[0].probability == pytest.approx(1.3 / 3)
    assert found.null is not None
    assert found.null.probability == pytest.approx(0.1 / 3)


def test_no_answer_is_an_option() -> None:
    assert combined(spread("q", {"": 0.6, "a": 0.4}), spread("q", {"": 0.45, "b": 0.55})).answer == ""
    assert combined(spread("q", {"a": 0.4, "b": 0.3}), spread("q", {"b": 0.6})).null is None


def test_weights_and_those_of_zero() -> None:
    ballots = spread("q", {"a": 0.9, "b": 0.1}), spread("q", {"b": 1.0})
    assert combined(*ballots, weights=[2, 1]).answer == "a"
    found = combined(*ballots, weights=[0, 1])
    assert [each.text for each in found.candidates] == ["b"]
    unsure = spread("q", {"": 0.6, "b": 0.4})
    assert combined(unsure, ballots[1], weights=[0, 1]) == combined(ballots[1]), "nor does it bring in its no answer"


def test_the_best_supported_place_and_spelling_is_kept() -> None:
    def at(text: str, start: int, share: float) -> SpanPrediction:
        candidates = (Candidate(text, start, start + len(text), 1, 2.0, share),)
        return SpanPrediction("q", text, candidates, NoAnswer(0.0, 1 - share))

    found = combined(at("（乙）", 3, 0.4), at("(乙)", 9, 0.9), at("（乙）", 3, 0.45))
    best = found.candidates[0]
    assert (best.text, best.start, best.end, best.context) == ("(乙)", 9, 12, 1)
    best = combined(at("（乙）", 3, 0.4), at("(乙)", 9, 0.7), at("（乙）", 3, 0.45)).candidates[0]
    assert (best.text, best.start) == ("（乙）", 3)


def test_ties_go_to_what_an_earlier_member_says() -> None:
    assert combined(sure("q", "b", 0.5), sure("q", "a", 0.5)).answer == "b"


def test_bare_answers_are_sure_ones() -> None:
    bare = [SpanPrediction("q", text) for text in ("x", "y", "y")]
    assert combined(*bare).answer == "y"
    assert combined(SpanPrediction("q", ""), SpanPrediction("q", ""), SpanPrediction("q", "x")).answer == ""


def test_candidates_come_best_first_and_not_too_many() -> None:
    found = combined(spread("q", {"a": 0.2, "b": 0.5, "c": 0.3}), n_best=2)
    assert [each.text for each in found.candidates] == ["b", "c"]


SHARES = st.dictionaries(st.sampled_from(["a", "a ", "b", "c", ""]), st.floats(0.01, 1), min_size=1)


@given(st.lists(SHARES, min_size=1, max_size=4), st.data())
@settings(deadline=None, max_examples=50)
def test_sums_are_those_of_an_enumeration(raw: list[Shares], data: st.DataObject) -> None:
    count = len(raw)
    shares = [{text: share / sum(own.values()) for text, share in own.items()} for own in raw]
    numbers = st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=count, max_size=count)
    weights, temperatures = data.draw(numbers), data.draw(numbers)
    wanted: dict[str, float] = {}
    for own, weight, temperature in zip(shares, weights, temperatures, strict=True):
        raised = {text: share ** (1 / temperature) for text, share in own.items()}
        for text, value in raised.items():
            part = weight / sum(weights) * value / sum(raised.values())
            wanted[text.strip()] = wanted.get(text.strip(), 0.0) + part
    (found,) = pooled(*(spread("q", own) for own in shares)).combine(weights, temperatures, n_best=20)
    assert isinstance(found, SpanPrediction)
    given = {each.text.strip(): each.probability for each in found.candidates}
    given |= {} if found.null is None else {"": found.null.probability}
    assert given == pytest.approx(wanted)
    assert wanted[found.answer.strip()] == pytest.approx(max(wanted.values()))
    scores = [math.exp(each.score) for each in found.candidates]
    assert scores == pytest.approx([each.probability for each in found.candidates])


def test_learning_favours_the_better_member_and_cools_the_one_that_is_too_sure() -> None:
    examples = questions(60)

    def member(wrong: int, sureness: float) -> EnsembleMember:
        predictions = []
        for number, example in enumerate(examples):
            gold = example.answers[0].text if example.answers else ""
            says, other = ("nothing of it", gold) if number % wrong == 0 else (gold, "nothing of it")
            predictions.append(spread(example.id, {says: sureness, other: 1 - sureness}))
        return EnsembleMember(f"wrong {wrong}", predictions)

    pool = Options.of([member(2, 0.9), member(10, 0.9)], examples)
    weights, temperatures = pool.learn(range(60))
    assert weights[1] > weights[0]
    assert sum(weights) == pytest.approx(1, abs=1e-3)
    assert temperatures[0] > 1.5  # right half of the time, sure by 0.9
    assert temperatures[1] == pytest.approx(1, abs=0.1)  # right nine times of ten


def test_a_member_that_is_sure_and_never_right_is_cooled_as_far_as_it_goes() -> None:
    examples = questions(12)
    golds = [example.answers[0].text if example.answers else "" for example in examples]
    right = EnsembleMember("right", [sure(e.id, gold, 0.9, null=0.1) for e, gold in zip(examples, golds, strict=True)])
    wrong = EnsembleMember("wrong", [spread(example.id, {"neither": 0.9, "nor": 0.1}) for example in examples])
    _, temperatures = Options.of([right, wrong], examples).learn(range(12))
    assert temperatures[1] == pytest.approx(HIGHEST, rel=0.01)


def test_learning_without_gold_answers() -> None:
    example = Example("q", "?", ("a b",))
    pool = Options.of([EnsembleMember("m", [sure("q", "a", 1.0)])], [example])
    with pytest.raises(UsageError, match="none of the questions has a gold answer"):
        pool.learn([0])
    labelled = Example("q", "?", ("a b",), (Answer("c", None),))
    with pytest.raises(UsageError, match="no member has a right answer"):
        Options.of([EnsembleMember("m", [sure("q", "a", 1.0)])], [labelled]).learn([0])


def test_classes_are_not_answers() -> None:
    with pytest.raises(UsageError, match="combine classes, numbers and contexts with `mean`"):
        Nbest().combine([[LabelPrediction("q", "x")]])


def test_members_in_other_orders() -> None:
    one = [sure("b", "1", 0.9), sure("a", "2", 0.9)]
    found = NBEST.build(NoSettings(), NoRuntime()).combine([one, one[::-1]])
    assert [(each.id, each.final) for each in found] == [("b", "1"), ("a", "2")]


def test_probabilities_of_zero_do_no_harm() -> None:
    found = combined(SpanPrediction("q", "a", (Candidate("a", 0, 1, 0, 0.0, 0.0),), NoAnswer(0.0, 0.0)))
    assert np.isfinite([each.score for each in found.candidates]).all()
