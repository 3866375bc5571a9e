"""From class logits of windows to one class, or one number, per example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qakit.data.windows import Windows
from qakit.errors import ModelError, PluginError
from qakit.inference.classification import LogitTable, label_predictions, softmax
from qakit.protocols import LabelScores
from qakit.testing import made_up_batch
from qakit.values import Example

EXAMPLES = [Example("a", "x"), Example("b", "x"), Example("c", "x")]
CLASSES = ("no", "yes")


def windows(*example: int) -> Windows:
    """One window without segments for each of these examples."""
    none = np.zeros(0, np.int32)
    count = len(example)
    rows = np.array(example, np.int32)
    return Windows(rows, np.ones(count, np.int32), np.zeros(count + 1, np.int64), none, none, none, none, none)


def filled(scores: list[list[float]], classes: tuple[str, ...] = CLASSES) -> LogitTable:
    table = LogitTable(len(scores), classes=classes)
    table.scores[:] = scores
    return table


def test_the_class_is_that_of_the_mean_logits() -> None:
    table = filled([[0.0, 3.0], [5.0, 0.0], [1.0, 4.0], [2.0, 2.0]])
    first, second, third = label_predictions(table, windows(0, 0, 1, 2), EXAMPLES)
    assert (first.label, second.label, third.label) == ("no", "yes", "no")  # of equal ones the first
    assert first.scores == pytest.approx(softmax(np.array([2.5, 1.5])))
    assert (first.id, third.scores) == ("a", (0.5, 0.5))


def test_the_number_is_the_mean() -> None:
    found = label_predictions(filled([[1.0], [2.0], [4.0], [-0.5]], ()), windows(0, 1, 1, 2), EXAMPLES)
    assert [(each.label, each.scores) for each in found] == [(1.0, ()), (3.0, ()), (-0.5, ())]
    assert [each.final for each in found] == ["1.0", "3.0", "-0.5"]


def test_an_example_without_a_window_is_an_error() -> None:
    with pytest.raises(ModelError, match="'b' has no window"):
        label_predictions(filled([[0.0, 1.0], [0.0, 1.0]]), windows(0, 2), EXAMPLES)


def test_batches_come_in_any_order_and_what_is_wrong_with_them_is_said() -> None:
    table, batch = LogitTable(6, classes=CLASSES), replace(made_up_batch(), window=np.array([4, 0, 5, 2]))
    table.add(batch, LabelScores(torch.tensor([[4.0, 0], [0, 1], [5, 0], [2, 0]])))
    assert table.scores[:, 0].tolist()[:1] + table.scores[[2, 4, 5], 0].tolist() == [0, 2, 4, 5]
    with pytest.raises(PluginError, match=r"\(4, 3\); they must be \(4, 2\)"):
        table.add(batch, LabelScores(torch.zeros(4, 3)))
    with pytest.raises(ModelError):
        table.add(batch, LabelScores(torch.full((4, 2), torch.nan)))


def test_two_processes_share_a_table() -> None:
    first, second = LogitTable(4, classes=CLASSES), LogitTable(4, classes=CLASSES)
    first.scores[[0, 3]] = [[1, 2], [3, 4]]
    second.scores[[1, 2]] = [[5, 6], [7, 8]]
    assert first.rows()[0].tolist() == [0, 3]
    rows = first.rows()
    first.merge(second.rows())
    second.merge(rows)
    assert first.scores.tolist() == second.scores.tolist() == [[1, 2], [5, 6], [7, 8], [3, 4]]


@given(
    arrays(np.float32, st.tuples(st.integers(3, 9), st.just(3)), elements=st.floats(-50, 50, width=32)), st.randoms()
)
def test_probabilities_agree_with_the_class_whatever_the_order_of_windows(scores: np.ndarray, chance) -> None:
    owners = [0, 1, 2, *(chance.randrange(3) for _ in range(len(scores) - 3))]
    table = filled(scores.tolist(), ("a", "b", "c"))
    found = label_predictions(table, windows(*owners), EXAMPLES)
    for each in found:
        assert sum(each.scores) == pytest.approx(1)
        assert each.scores["abc".index(each.label)] == pytest.approx(max(each.scores))
    order = list(range(len(scores)))
    chance.shuffle(order)
    shuffled = filled(scores[order].tolist(), ("a", "b", "c"))
    again = label_predictions(shuffled, windows(*(owners[row] for row in order)), EXAMPLES)
    for one, other in zip(found, again, strict=True):
        assert one.scores == pytest.approx(other.scores)
