"""Means of classes, contexts and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from qakit.errors import UsageError
from qakit.protocols import EnsembleMember, Pool
from qakit.values import ContextPrediction, Example, LabelPrediction, Prediction, SpanPrediction, Targets
from qakit_ensemble.mean import Mean


def classes(*shares: float, id_: str = "q", names: Sequence[str] = "xyz") -> LabelPrediction:
    return LabelPrediction(id_, names[max(range(len(shares)), key=lambda number: shares[number])], shares)


def pool(*members: list[Prediction], examples: list[Example] | None = None) -> Pool:
    return Mean().pool([EnsembleMember(f"m{n}", each) for n, each in enumerate(members, 1)], examples)


def combined(*ballots: Prediction) -> Prediction:
    return Mean().combine([[ballot] for ballot in ballots])[0]


def test_the_likeliest_class_by_the_mean_wins() -> None:
    found = combined(classes(0.5, 0.4, 0.1), classes(0.1, 0.4, 0.5))
    assert isinstance(found, LabelPrediction)
    assert found.scores == pytest.approx((0.3, 0.4, 0.3))
    assert found.label == "x", "the middle class has no name here, as no member ever predicts it"
    members = [[classes(0.5, 0.4, 0.1), classes(0, 1, 0, id_="r")], [classes(0.1, 0.4, 0.5), classes(0, 1, 0, id_="r")]]
    assert [each.final for each in Mean().combine(members)] == ["y", "y"]


def test_a_class_that_a_member_rules_out_may_win() -> None:
    found = combined(classes(1.0, 0.0), classes(0.1, 0.9), classes(0.2, 0.8))
    assert found == LabelPrediction("q", "y", pytest.approx((1.3 / 3, 1.7 / 3)))


def test_numbers_and_contexts() -> None:
    assert combined(LabelPrediction("q", 1.0), LabelPrediction("q", 4.0)).final == "2.5"
    found = combined(ContextPrediction("q", 0, (0.6, 0.4)), ContextPrediction("q", 1, (0.1, 0.9)))
    assert found == ContextPrediction("q", 1, pytest.approx((0.35, 0.65)))


def test_questions_with_different_numbers_of_contexts() -> None:
    members = [[ContextPrediction("a", 0, (1.0,)), ContextPrediction("b", 1, (0.2, 0.8))]] * 2
    assert [each.final for each in Mean().combine(members)] == ["0", "1"]
    assert [len(each.scores) for each in Mean().combine(members)] == [1, 2]  # type: ignore[union-attr]


def test_weights_and_temperatures() -> None:
    both = pool([classes(0.9, 0.1)], [classes(0.2, 0.8)])
    (found,) = both.combine([3, 1], [1.0, 1.0], n_best=1)
    assert found.scores == pytest.approx((0.725, 0.275))  # type: ignore[union-attr]
    (found,) = both.combine([1, 0], [2.0, 1.0], n_best=1)
    assert found.scores == pytest.approx((3 / 4, 1 / 4))  # type: ignore[union-attr]


def test_learning_finds_the_better_member() -> None:
    examples = [Example(f"q{n}", "?", label="xy"[n % 2]) for n in range(40)]

    def said(wrong: int) -> list[Prediction]:
        right = [n % 2 if n % wrong else 1 - n % 2 for n in range(40)]
        return [classes(*(0.9, 0.1) if c == 0 else (0.1, 0.9), id_=f"q{n}") for n, c in enumerate(right)]

    weights, temperatures = pool(said(3), said(8), examples=examples).learn(range(40))
    assert weights[1] > weights[0]
    assert math.fsum(weights) == pytest.approx(1, abs=1e-3)
    assert temperatures[0] > temperatures[1]


def test_learning_on_numbers_lowers_the_squared_error() -> None:
    examples = [Example(f"q{n}", "?", label=float(n)) for n in range(20)]
    high: list[Prediction] = [LabelPrediction(f"q{n}", n + 1.0) for n in range(20)]
    low: list[Prediction] = [LabelPrediction(f"q{n}", n - 3.0) for n in range(20)]
    weights, _ = pool(high, low, examples=examples).learn(range(20))
    assert weights == pytest.approx((0.75, 0.25), abs=0.02)


def test_members_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="is an answer; mean is for classes"):
        combined(SpanPrediction("q", "x"))
    with pytest.raises(UsageError, match="different things: classes and numbers"):
        combined(classes(1, 0), LabelPrediction("q", 1.0))
    with pytest.raises(UsageError, match="member 2 has other classes"):
        combined(classes(1, 0), classes(1, 0, 0))
    with pytest.raises(UsageError, match="calls class 1 'y' where another member, or question, calls it 'x'"):
        combined(classes(1, 0), classes(1, 0, names="yx"))
    with pytest.raises(UsageError, match="member 1 has no probabilities for id 'q'"):
        combined(LabelPrediction("q", "x"), LabelPrediction("q", "x"))
    with pytest.raises(UsageError, match="none of the questions has a gold answer"):
        pool([classes(1, 0)], examples=[Example("q", "?")]).learn([0])


def numbers(*values: float, id_: str = "q", names: str = "xy") -> LabelPrediction:
    return LabelPrediction(id_, Targets(values, names))


def test_several_numbers_are_joined_by_their_names() -> None:
    found = combined(numbers(1.0, 4.0), numbers(2.0, 3.0, names="yx"))
    assert found == LabelPrediction("q", Targets((2.0, 3.0), "xy"))
    assert isinstance(found, LabelPrediction)
    assert isinstance(found.label, Targets)
    assert found.label.names == ("x", "y")
    (found,) = pool([numbers(0.0, 1.0)], [numbers(1.0, 3.0)]).combine([3, 1], [1.0, 1.0], n_best=1)
    assert found == LabelPrediction("q", Targets((0.25, 1.5), "xy"))


def test_learning_looks_at_the_numbers_that_are_known() -> None:
    examples = [Example(f"q{n}", "?", label=Targets((n, math.nan), "xy")) for n in range(20)]
    high: list[Prediction] = [numbers(n + 1.0, 99.0 * n, id_=f"q{n}") for n in range(20)]
    low: list[Prediction] = [numbers(n - 3.0, 0.0, id_=f"q{n}") for n in range(20)]
    weights, _ = pool(high, low, examples=examples).learn(range(20))
    assert weights == pytest.approx((0.75, 0.25), abs=0.02)
    with pytest.raises(UsageError, match="none of the questions has a gold answer"):
        pool(high, low, examples=[Example(f"q{n}", "?") for n in range(20)]).learn(range(20))


def test_other_numbers_do_not_fit() -> None:
    with pytest.raises(
        UsageError, match=r"member 2 has other numbers for id 'q' \(x, z\) than the first member \(x, y\)"
    ):
        combined(numbers(1.0, 2.0), numbers(1.0, 2.0, names="xz"))
    with pytest.raises(UsageError, match="different things: numbers and several numbers for each text"):
        combined(LabelPrediction("q", 1.0), numbers(1.0, 2.0))


def test_members_with_their_classes_in_other_orders() -> None:
    """Also where each of them predicts one class alone, so that nothing else tells the orders apart."""
    first = EnsembleMember("a", [classes(0.4, 0.6, names=("neg", "pos"))], classes=("neg", "pos"))
    second = EnsembleMember("b", [classes(0.9, 0.1, names=("pos", "neg"))], classes=("pos", "neg"))
    (found,) = Mean().pool([first, second], None).combine([0.5, 0.5], [1.0, 1.0], n_best=1)
    assert found == LabelPrediction("q", "pos", pytest.approx((0.25, 0.75)))
    third = EnsembleMember("c", [classes(0.9, 0.1, names=("pos", "other"))], classes=("pos", "other"))
    with pytest.raises(UsageError, match=r"c tells other classes apart \(pos, other\) than a \(neg, pos\)"):
        Mean().pool([first, third], None)
    with pytest.raises(UsageError, match="d has 3 probabilities for 2 classes"):
        Mean().pool([EnsembleMember("d", [classes(0.2, 0.3, 0.5)], classes=("x", "y"))], None)
    unknown = EnsembleMember("e", [classes(0.9, 0.1, names=("pos", "neg"))])
    with pytest.raises(UsageError, match="e calls class 1 'pos' where another member, or question, calls it 'neg'"):
        Mean().pool([first, unknown], None)


def test_a_class_that_no_member_predicts_may_win_where_it_is_known() -> None:
    members = [
        EnsembleMember(name, [classes(*shares)], classes=tuple("xyz"))
        for name, shares in (("a", (0.5, 0.4, 0.1)), ("b", (0.1, 0.4, 0.5)))
    ]
    assert Mean().pool(members, None).combine([0.5, 0.5], [1.0, 1.0], n_best=1)[0].final == "y"
