"""Figures of several numbers, against scikit-learn and scipy."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from qakit.errors import DataError, UsageError
from qakit.metrics.columnwise import columnwise_auc, columnwise_rmse, columnwise_spearman
from qakit.protocols import DrawnMetric, NoRuntime, PerExampleMetric
from qakit.registry import load_registry
from qakit.testing import check_component, check_metric
from qakit.values import Example, LabelPrediction, Targets
from qakit_metrics import COLUMNWISE_AUC, COLUMNWISE_RMSE, COLUMNWISE_SPEARMAN, NoSettings

COMPONENTS = (COLUMNWISE_SPEARMAN, COLUMNWISE_AUC, COLUMNWISE_RMSE)
NAMES = ("a", "b")
FIGURES: dict[str, Any] = {
    "spearman": (columnwise_spearman, lambda gold, given_: stats.spearmanr(gold, given_).statistic),
    "auc": (columnwise_auc, sklearn.roc_auc_score),
    "rmse": (columnwise_rmse, lambda gold, given_: math.sqrt(np.mean((gold - given_) ** 2))),
}


def several(*rows: tuple[float, ...], names: tuple[str, ...] = NAMES) -> list[Targets]:
    return [Targets(row, names) for row in rows]


def figures(name: str, gold: list[Any], given_: list[Any]) -> dict[str, float]:
    built = load_registry().build("metrics", name, {}, NoRuntime())
    examples = [Example(str(number), "text", label=label) for number, label in enumerate(gold)]
    found: dict[str, float] = built.compute(
        examples, [LabelPrediction(str(number), label) for number, label in enumerate(given_)]
    )
    return found


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_keeps_the_contracts(component: Any) -> None:
    check_component("metrics", component)
    gold = several((1, 0), (0, 1), (1, 0), (0, 0), (1, 1))
    check_metric(component, NoSettings(), labels=gold)
    check_metric(component, NoSettings(), labels=(1.0, 0.0, 0.0, 1.0))
    built = load_registry().build("metrics", component.name, {}, NoRuntime())
    assert isinstance(built, DrawnMetric)
    assert not isinstance(built, PerExampleMetric)


@st.composite
def tables(draw: st.DrawFn, binary: bool) -> tuple[np.ndarray, np.ndarray]:
    """Gold (N, K), where some are not known, and given numbers, both with ties."""
    size, columns = draw(st.integers(1, 14)), draw(st.integers(1, 4))
    choices = [0.0, 1.0, math.nan] if binary else [0.0, 0.25, 1.0, 2.5, math.nan]
    gold = draw(
        st.lists(st.lists(st.sampled_from(choices), min_size=columns, max_size=columns), min_size=size, max_size=size)
    )
    value = st.sampled_from([0.1, 0.5]) | st.floats(-5, 5).map(lambda number: round(number, 2))
    given_ = draw(st.lists(st.lists(value, min_size=columns, max_size=columns), min_size=size, max_size=size))
    return np.array(gold), np.array(given_)


def expected(name: str, gold: np.ndarray, given_: np.ndarray) -> tuple[float, int]:
    """The mean over columns, and of how many; column by column with the other libraries."""
    values = []
    for own, answer in zip(gold.T, given_.T, strict=True):
        known = ~np.isnan(own)
        own, answer = own[known], answer[known]
        if not len(own) or (name != "rmse" and len(set(own)) == 1):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = FIGURES[name][1](own, answer)
        values.append(0.0 if math.isnan(value) else value)  # the given numbers are all the same
    return (float(np.mean(values)) if values else 0.0), len(values)


@pytest.mark.parametrize("name", FIGURES)
@settings(max_examples=60)
@given(data=st.data())
def test_columns_agree_with_other_libraries(name: str, data: st.DataObject) -> None:
    gold, given_ = data.draw(tables(binary=name == "auc"))
    mean, columns = FIGURES[name][0](gold, given_, np.ones((1, len(gold))))
    wanted, count = expected(name, gold, given_)
    assert columns.tolist() == [count]
    assert mean[0] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("name", FIGURES)
@settings(max_examples=40)
@given(data=st.data())
def test_a_draw_is_worth_the_examples_in_it(name: str, data: st.DataObject) -> None:
    gold, given_ = data.draw(tables(binary=name == "auc"))
    drawn = [data.draw(st.lists(st.integers(0, len(gold) - 1), min_size=1, max_size=14)) for _ in range(3)]
    counts = np.stack([np.bincount(rows, minlength=len(gold)) for rows in drawn]).astype(float)
    mean, columns = FIGURES[name][0](gold, given_, counts)
    for row, value, count in zip(drawn, mean, columns, strict=True):
        wanted, many = expected(name, gold[row], given_[row])
        assert (value, count) == (pytest.approx(wanted, abs=1e-9), many)


def test_columns_whose_gold_numbers_are_all_the_same_are_left_out_and_counted() -> None:
    gold = several((0.5, 0.1), (0.5, 0.2), (0.5, 0.3))
    right = several((0.9, 1.0), (0.1, 2.0), (0.4, 3.0))
    assert figures("columnwise_spearman", gold, right) == {"spearman": pytest.approx(100), "columns": 1}
    gold, right = several((1, 0), (1, 1)), several((0.2, 0.3), (0.9, 0.4))
    assert figures("columnwise_auc", gold, right) == {"auc": pytest.approx(100), "columns": 1}
    assert figures("columnwise_auc", several((1, 1)), several((0.5, 0.5))) == {"auc": 0, "columns": 0}


def test_the_largest_figure_is_the_best_one() -> None:
    gold, near, far = several((1, 2), (3, 4)), several((1, 2), (3, 5)), several((2, 4), (4, 6))
    assert figures("columnwise_rmse", gold, near)["negative_rmse"] == pytest.approx(-math.sqrt(0.5) / 2)
    assert figures("columnwise_rmse", gold, far)["negative_rmse"] == pytest.approx(-1.5)


def test_numbers_are_found_by_their_names() -> None:
    gold = several((0.1, 0.9), (0.2, 0.8), (0.3, 0.7))
    turned = [Targets((label[1], label[0]), ("b", "a")) for label in gold]
    assert figures("columnwise_spearman", gold, turned)["spearman"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("gold", "given_", "error", "message"),
    [
        ([1.0, 2.0], several((1, 2), (3, 4)), DataError, "id 0.*has not the example's numbers"),
        (several((1, 2), (3, 4)), [1.0, 2.0], DataError, "id 0.*'1.0' has not the example's numbers"),
        (several((1, 2), (3, 4)), several((1, 2)), DataError, "id 1.*there is no prediction"),
        (["x", "y"], ["x", "y"], UsageError, "compares numbers, but the example '0' is labelled with 'x'"),
        (
            [*several((1, 2)), 3.0],
            [*several((1, 2)), 3.0],
            UsageError,
            "compares the numbers a, b, but the example '1'",
        ),
        ([*several((1, 2)), None], several((1, 2), (1, 2)), UsageError, "the example '1' has no label"),
    ],
)
def test_what_cannot_be_compared(gold: list[Any], given_: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        figures("columnwise_rmse", gold, given_)


def test_an_area_needs_numbers_that_are_0_or_1() -> None:
    with pytest.raises(UsageError, match="0 or 1"):
        figures("columnwise_auc", several((1, 0.5), (0, 1)), several((1, 0), (0, 1)))


def test_metrics_of_single_numbers_and_classes_name_the_way_out() -> None:
    rows = several((1, 2), (2, 1))
    with pytest.raises(UsageError, match="has 2: columnwise_spearman and its like are for several"):
        figures("pearson_spearman", rows, rows)
    with pytest.raises(UsageError, match="compares classes, but the example '0' has 2 numbers"):
        figures("accuracy", rows, rows)
