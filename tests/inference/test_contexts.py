"""Which context a question is answered from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from span_layouts import characters, encoded_of, windows_of

from qakit.errors import ModelError, PluginError
from qakit.inference.classification import LogitTable, check_windows, context_predictions
from qakit.protocols import ContextScores
from qakit.values import ContextPrediction, Example

EXAMPLES = [Example("a", "?", ("p", "q")), Example("b", "?", ("r",))]
LAYOUT = [(0, [0]), (0, [1]), (0, [1]), (1, [0])]


class Rows(list[int]):
    """As much of a batch as the table looks at."""

    @property
    def window(self) -> np.ndarray:
        return np.array(self)


def filled(scores: list[float]) -> LogitTable:
    table = LogitTable(len(scores), gives="contexts")
    table.add(Rows(range(len(scores))), ContextScores(torch.tensor(scores)))  # type: ignore[arg-type]
    return table


def predict(scores: list[float]) -> list[ContextPrediction]:
    encoded = encoded_of(EXAMPLES, characters)
    return context_predictions(filled(scores), windows_of(encoded, LAYOUT), encoded, EXAMPLES)


def test_a_context_counts_by_its_best_window() -> None:
    first, second = predict([1.0, -5.0, 2.0, -3.0])
    assert (first.id, first.context) == ("a", 1)
    assert first.scores == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])
    assert second == ContextPrediction("b", 0, (1.0,))
    assert first.final == "1"


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4))
def test_probabilities_are_of_each_example_alone(scores: list[float]) -> None:
    for prediction, contexts in zip(predict(scores), (2, 1), strict=True):
        assert len(prediction.scores) == contexts
        assert sum(prediction.scores) == pytest.approx(1.0)
        assert prediction.scores[prediction.context] == max(prediction.scores)


def test_processes_share_the_windows() -> None:
    scores = [1.0, -5.0, 2.0, -3.0]
    ours, theirs = LogitTable(4, gives="contexts"), LogitTable(4, gives="contexts")
    ours.add(Rows([0, 3]), ContextScores(torch.tensor([1.0, -3.0])))  # type: ignore[arg-type]
    theirs.add(Rows([2, 1]), ContextScores(torch.tensor([2.0, -5.0])))  # type: ignore[arg-type]
    ours.merge(theirs.rows())
    assert ours.scores[:, 0].tolist() == scores


def test_what_cannot_be_told_apart() -> None:
    encoded = encoded_of(EXAMPLES, characters)
    with pytest.raises(ModelError, match="one by one"):
        check_windows(windows_of(encoded, [(0, [0, 1]), (1, [0])]), encoded, EXAMPLES)
    with pytest.raises(ModelError, match="'a' is in no window"):
        check_windows(windows_of(encoded, [(0, [0]), (1, [0])]), encoded, EXAMPLES)
    check_windows(windows_of(encoded, LAYOUT), encoded, EXAMPLES)
    bare = [Example("a", "?", ("p",)), Example("none", "?")]
    with pytest.raises(ModelError, match="'none' has no context to choose"):
        check_windows(windows_of(encoded_of(bare, characters), [(0, [0])]), encoded_of(bare, characters), bare)
    with pytest.raises(PluginError, match=r"\(2, 1\); they must be \(2,\)"):
        LogitTable(2, gives="contexts").add(Rows([0, 1]), ContextScores(torch.zeros(2, 1)))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="NaN"):
        LogitTable(1, gives="contexts").add(Rows([0]), ContextScores(torch.tensor([torch.nan])))  # type: ignore[arg-type]
