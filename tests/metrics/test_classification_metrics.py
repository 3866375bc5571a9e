"""GLUE's figures, against scikit-learn and scipy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from qakit.errors import DataError, UsageError
from qakit.metrics.classification import accuracy, confusion, f1_by_class, matthews, pearson, quadratic_kappa, spearman
from qakit.protocols import DrawnMetric, NoRuntime, PerExampleMetric
from qakit.registry import load_registry
from qakit.testing import check_component
from qakit.values import Example, LabelPrediction, SpanPrediction
from qakit_metrics import ACCURACY, ACCURACY_F1, GLUE, MATTHEWS, PEARSON_SPEARMAN

TASKS = ("CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE", "WNLI", "AX")


def metric(name: str, **given: Any) -> Any:
    return load_registry().build("metrics", name, given, NoRuntime())


def examples(gold: Sequence[str | float], prefix: str = "") -> list[Example]:
    return [Example(f"{prefix}{number}", "text", label=label) for number, label in enumerate(gold)]


def figures(built: Any, gold: Sequence[str | float], given: Sequence[str | float]) -> dict[str, float]:
    found: dict[str, float] = built.compute(
        examples(gold), [LabelPrediction(str(number), label) for number, label in enumerate(given)]
    )
    return found


@pytest.mark.parametrize("component", [ACCURACY, ACCURACY_F1, MATTHEWS, PEARSON_SPEARMAN, GLUE])
def test_keeps_the_contract_of_components(component: Any) -> None:
    check_component("metrics", component)


# ------------------------------------------------------------------------------------------------------------- parity
codes = st.integers(2, 4).flatmap(
    lambda classes: st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=30)
)


@given(codes)
def test_classes_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    gold, given_ = (np.array(column) for column in zip(*pairs, strict=True))
    ones = np.ones((1, len(gold)))
    table = confusion(gold, given_, ones, classes=4)
    assert table[0].tolist() == sklearn.confusion_matrix(gold, given_, labels=range(4)).tolist()
    assert accuracy(gold == given_, ones)[0] == pytest.approx(sklearn.accuracy_score(gold, given_))
    if len({*gold, *given_}) > 1:
        kappa = sklearn.cohen_kappa_score(gold, given_, labels=range(4), weights="quadratic")
        assert quadratic_kappa(table, np.arange(4.0))[0] == pytest.approx(kappa, abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert matthews(table)[0] == pytest.approx(sklearn.matthews_corrcoef(gold, given_), abs=1e-12)
        by_class = sklearn.f1_score(gold, given_, labels=range(4), average=None, zero_division=0)
    assert f1_by_class(table)[0] == pytest.approx(by_class)


@given(codes)
def test_macro_f1_is_over_the_classes_that_are_there(pairs: list[tuple[int, int]]) -> None:
    gold, given_ = ([str(value) for value in column] for column in zip(*pairs, strict=True))
    assert figures(metric("accuracy_f1"), gold, given_)["f1"] == pytest.approx(
        100 * sklearn.f1_score(gold, given_, average="macro", zero_division=0)
    )


tied = st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0])  # many ties
free = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(st.one_of(tied, free), st.one_of(tied, free)), min_size=2, max_size=40))
def test_correlations_agree_with_scipy_ties_included(pairs: list[tuple[float, float]]) -> None:
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    ones = np.ones((1, len(first)))
    constant = len(set(first)) == 1 or len(set(second)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linear, ranked = stats.pearsonr(first, second)[0], stats.spearmanr(first, second)[0]
    if constant:
        assert (pearson(first, second, ones)[0], spearman(first, second, ones)[0]) == (0, 0)
    else:
        assert pearson(first, second, ones)[0] == pytest.approx(linear, abs=1e-9)
        assert spearman(first, second, ones)[0] == pytest.approx(ranked, abs=1e-9)


@settings(max_examples=40)
@given(st.lists(st.tuples(tied, tied, st.integers(0, 2)), min_size=3, max_size=20), st.randoms())
def test_a_draw_is_worth_the_examples_in_it(rows: list[tuple[float, float, int]], chance: Any) -> None:
    """Counts give what the drawn examples, written out, give."""
    first, second, _ = (np.array(column) for column in zip(*rows, strict=True))
    drawn = [chance.randrange(len(rows)) for _ in rows]
    counts = np.bincount(drawn, minlength=len(rows)).astype(float)[None]
    ones = np.ones((1, len(rows)))
    for figure in (pearson, spearman):
        assert figure(first, second, counts)[0] == pytest.approx(figure(first[drawn], second[drawn], ones)[0], abs=1e-9)
    gold, given_ = first.astype(int), second.astype(int)
    table = confusion(gold, given_, counts, classes=6)
    assert table.tolist() == confusion(gold[drawn], given_[drawn], ones, classes=6).tolist()


# -------------------------------------------------------------------------------------------------------- definitions
def test_what_is_not_defined_is_0() -> None:
    assert figures(metric("glue", task="CoLA"), ["1", "0"], ["1", "1"])["matthews"] == 0
    assert figures(metric("glue", task="STS-B"), [1.0, 2.0, 3.0], [0.1, 0.1, 0.1]) == {
        "pearson": 0,
        "spearman": 0,
        "pearson_spearman": 0,
    }
    assert figures(metric("glue", task="MRPC"), ["0", "0"], ["0", "0"]) == {
        "accuracy": 100,
        "f1": 0,
        "accuracy_f1": 50,
    }
    assert figures(metric("accuracy_f1", positive="elsewhere"), ["0"], ["0"])["f1"] == 0


def test_a_missing_prediction_is_wrong_and_a_missing_number_an_error() -> None:
    built = metric("accuracy")
    assert built.compute(examples(["a", "b"]), [LabelPrediction("0", "a")]) == {"accuracy": 50}
    found = metric("accuracy_f1", positive="1").compute(examples(["1", "0"]), [LabelPrediction("1", "0")])
    assert found == {"accuracy": 50, "f1": 0, "accuracy_f1": 25}
    with pytest.raises(DataError, match="there is no prediction") as caught:
        metric("pearson_spearman").compute(examples([1.0, 2.0]), [LabelPrediction("0", 1.0)])
    assert "id 1" in str(caught.value)
    with pytest.raises(DataError, match="'many' is not a number"):
        metric("pearson_spearman").compute(examples([1.0]), [SpanPrediction("0", "many")])


def test_figures_of_the_other_kind_of_task_are_an_error() -> None:
    with pytest.raises(UsageError, match=r"compares classes, but the example '0' is labelled with the number 1\.5"):
        figures(metric("accuracy"), [1.5], ["1"])
    with pytest.raises(UsageError, match="compares numbers, but the example '0' is labelled with the class 'a'"):
        figures(metric("pearson_spearman"), ["a"], [1.0])
    with pytest.raises(UsageError, match="has no label"):
        metric("matthews").compute([Example("0", "text")], [])


def test_mnli_has_figures_for_both_sets() -> None:
    built = metric("glue", task="MNLI")
    gold = [*examples(["neutral", "neutral"]), *examples(["entailment", "neutral", "neutral"], prefix="mismatched-")]
    given_ = [LabelPrediction(example.id, "neutral") for example in gold]
    found = built.compute(gold, given_)
    assert found == pytest.approx({"accuracy": 80, "accuracy_matched": 100, "accuracy_mismatched": 200 / 3})
    assert built.compute(gold[:2], given_).keys() == {"accuracy", "accuracy_matched"}


def test_every_task_has_its_official_figures() -> None:
    official = {
        "CoLA": "matthews",
        "AX": "matthews",
        "MRPC": "accuracy_f1",
        "QQP": "accuracy_f1",
        "STS-B": "pearson_spearman",
    }
    for task in TASKS:
        built = metric("glue", task=task)
        assert built.primary == official.get(task, "accuracy")
        gold: list[str | float] = [1.0, 2.0, 4.0] if task == "STS-B" else ["0", "1", "1"]
        assert built.primary in figures(built, gold, gold)
        assert figures(built, gold, gold)[built.primary] == pytest.approx(100)
        assert isinstance(built, PerExampleMetric) != isinstance(built, DrawnMetric)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("abc")), min_size=1, max_size=20))
def test_the_mean_of_single_examples_is_the_accuracy(pairs: list[tuple[str, str]]) -> None:
    gold, given_ = zip(*pairs, strict=True)
    built = metric("accuracy")
    each = built.per_example(examples(gold), given_)["accuracy"]
    assert set(each) <= {0.0, 100.0}
    assert figures(built, gold, given_)["accuracy"] == pytest.approx(sum(each) / len(each))


def test_kappa_goes_by_the_distance_of_the_grades_and_wants_grades() -> None:
    kappa, gold = metric("quadratic_kappa"), ["0", "1", "10", "10"]
    near = figures(kappa, gold, ["1", "1", "10", "10"])["quadratic_kappa"]
    far = figures(kappa, gold, ["10", "1", "10", "10"])["quadratic_kappa"]
    assert near > 98 > far
    with pytest.raises(DataError, match="the class 'good' is no number"):
        figures(kappa, gold, ["0", "1", "10", "good"])
    for odd in ("nan", "inf", "1e999"):
        with pytest.raises(DataError, match=f"the class '{odd}' is no number"):
            figures(kappa, gold, ["0", "1", "10", odd])
    with pytest.raises(DataError, match="there is no prediction"):
        figures(kappa, gold, ["0", "1", "10"])
