"""Figures of class probabilities, against scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from qakit.errors import DataError, UsageError
from qakit.protocols import NoRuntime
from qakit.registry import load_registry
from qakit.values import Example, LabelPrediction

NAMES = ("awful", "fine", "great", "superb")


def figures(name: str, gold: Sequence[int], shares: Any, **given: Any) -> dict[str, float]:
    examples = [Example(str(row), "text", label=NAMES[label]) for row, label in enumerate(gold)]
    predictions = [
        LabelPrediction(str(row), NAMES[int(np.argmax(each))], tuple(map(float, each)))
        for row, each in enumerate(shares)
    ]
    metric = load_registry().build("metrics", name, given, NoRuntime())
    found: dict[str, float] = metric.compute(examples, predictions)
    return found


@st.composite
def judged(draw: st.DrawFn) -> tuple[list[int], np.ndarray[Any, Any]]:
    """Gold classes, each at least once, and their probabilities, with ties and zeros."""
    classes = draw(st.integers(2, 4))
    gold = draw(st.permutations([*range(classes), *draw(st.lists(st.integers(0, classes - 1), max_size=20))]))
    weights = draw(
        st.lists(
            st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.0]), min_size=classes, max_size=classes).filter(any),
            min_size=len(gold),
            max_size=len(gold),
        )
    )
    table = np.array(weights)
    return list(gold), table / table.sum(1, keepdims=True)


@given(judged())
def test_both_agree_with_scikit_learn(case: tuple[list[int], np.ndarray[Any, Any]]) -> None:
    gold, shares = case
    classes = range(shares.shape[1])
    loss = figures("log_loss", gold, shares)
    assert loss["log_loss"] == pytest.approx(sklearn.log_loss(gold, shares, labels=list(classes)))
    assert loss["negative_log_loss"] == -loss["log_loss"]
    if len(classes) == 2:
        expected = sklearn.roc_auc_score(gold, shares[:, 1])
    else:
        expected = sklearn.roc_auc_score(gold, shares, multi_class="ovr", average="macro")
    assert figures("auc", gold, shares)["auc"] == pytest.approx(100 * expected)


@given(judged(), st.randoms(use_true_random=False))
def test_the_order_of_the_classes_is_the_runs(case: tuple[list[int], np.ndarray[Any, Any]], random: Any) -> None:
    """With ``data.labels`` in another order the columns are, too; ``labels`` says so."""
    gold, shares = case
    order = list(range(shares.shape[1]))
    random.shuffle(order)
    examples = [Example(str(row), "text", label=NAMES[label]) for row, label in enumerate(gold)]
    predictions = [
        LabelPrediction(str(row), NAMES[int(np.argmax(each))], tuple(float(each[at]) for at in order))
        for row, each in enumerate(shares)
    ]
    for name in ("log_loss", "auc"):
        metric = load_registry().build("metrics", name, {"labels": [NAMES[at] for at in order]}, NoRuntime())
        assert metric.compute(examples, predictions) == pytest.approx(figures(name, gold, shares))


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(UsageError, match="3 probabilities each, and 2 classes are known: name all classes with the"):
        figures("log_loss", [0, 1], [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    with pytest.raises(UsageError, match="predicted as 'awful', but 'fine' is likelier"):
        figures("auc", [0, 1], [[0.8, 0.2], [0.2, 0.8]], labels=["fine", "awful"])
    with pytest.raises(UsageError, match="the class 'great', which is not among"):
        figures("auc", [2, 1], [[0.8, 0.2], [0.2, 0.8]], labels=["awful", "fine"])
    metric = load_registry().build("metrics", "auc", {}, NoRuntime())
    with pytest.raises(UsageError, match="files of answers do not"):
        metric.compute([Example("0", "text", label="fine")], [LabelPrediction("0", "fine")])
    with pytest.raises(DataError, match="there is no prediction"):
        metric.compute([Example("0", "text", label="fine")], [])


def test_one_class_alone_has_no_area() -> None:
    assert figures("auc", [1, 1], [[0.2, 0.8], [0.4, 0.6]], labels=["awful", "fine"]) == {"auc": 0.0}
