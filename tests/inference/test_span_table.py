"""The table of the windows' candidates: filled batch by batch, joined, and what it does not take."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from span_layouts import ONE, batch_of, candidates_of, characters, encoded_of, predict, windows_of

from qakit.data.batch import Batch
from qakit.errors import ModelError, PluginError
from qakit.inference.nbest import SpanTable, span_predictions
from qakit.inference.spans import BROKEN_SCORES
from qakit.protocols import SpanCandidates
from qakit.values import Example


def test_a_missing_window_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="1 of 2 windows have not been added"):
        predict(ONE, [(0, [0])] * 2, [[], []], order=[[1]])


def test_other_examples_are_a_mistake() -> None:
    encoded = encoded_of(ONE, characters)
    with pytest.raises(ValueError, match="2 examples, but 1 were encoded"):
        span_predictions(SpanTable(0, 1, encoded), windows_of(encoded, []), encoded, ONE * 2, n_best=1, no_answer=False)


def made(
    score: float = 1.0, null: float = 0.0, first: int = 1, last: int = 1
) -> tuple[SpanTable, Batch, SpanCandidates]:
    encoded = encoded_of(ONE, characters)
    windows = windows_of(encoded, [(0, [0])])
    decoded = SpanCandidates(
        torch.tensor([[first]]), torch.tensor([[last]]), torch.tensor([[score]]), torch.tensor([null])
    )
    return SpanTable(1, 3, encoded), batch_of(encoded, windows, [0]), decoded


@pytest.mark.parametrize(("score", "null"), [(math.nan, 0.0), (math.inf, 0.0), (1.0, math.nan), (1.0, -math.inf)])
def test_broken_scores_are_an_error(score: float, null: float) -> None:
    table, batch, decoded = made(score, null)
    with pytest.raises(ModelError, match="the model produced NaN scores"):
        table.add(batch, decoded)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_scores_in_a_table_are_an_error(broken: float) -> None:
    table, batch, decoded = made()
    table.add(batch, decoded)
    table.score[0, 1] = broken
    encoded = encoded_of(ONE, characters)
    with pytest.raises(ModelError) as caught:
        span_predictions(table, windows_of(encoded, [(0, [0])]), encoded, ONE, n_best=1, no_answer=False)
    assert str(caught.value) == BROKEN_SCORES


@pytest.mark.parametrize(("first", "last"), [(0, 1), (0, 0)])
def test_a_head_must_stay_in_the_contexts(first: int, last: int) -> None:
    table, batch, decoded = made(first=first, last=last)
    with pytest.raises(PluginError, match="span outside the contexts"):
        table.add(batch, decoded)


def test_a_single_span_outside_the_contexts_is_one_too_many() -> None:
    table, batch, _ = made()
    decoded = SpanCandidates(
        torch.tensor([[1, 0]]), torch.tensor([[1, 0]]), torch.tensor([[2.0, 1.0]]), torch.tensor([0.0])
    )
    with pytest.raises(PluginError, match="span outside the contexts"):
        table.add(batch, decoded)


def test_a_span_that_ends_before_it_begins_or_in_another_context_is_none() -> None:
    examples = [Example("a", "?", ("xyz", "uvw"))]
    encoded = encoded_of(examples, characters)
    windows = windows_of(encoded, [(0, [0, 1])])
    batch = batch_of(encoded, windows, [0])
    first, last = (np.flatnonzero(batch.segment[0] == each)[:2].tolist() for each in sorted({*batch.segment[0]} - {-1}))
    table = SpanTable(1, 3, encoded)
    table.add(
        batch,
        SpanCandidates(
            torch.tensor([[first[1], first[0], first[0]]]),
            torch.tensor([[first[0], last[0], first[1]]]),
            torch.tensor([[3.0, 2.0, 1.0]]),
            torch.tensor([0.0]),
        ),
    )
    assert (table.score[0, :3] > -np.inf).tolist() == [False, False, True]


@pytest.mark.parametrize("outside", [-1, 99])
@pytest.mark.parametrize("side", ["first", "last"])
def test_a_head_must_stay_in_the_input(side: str, outside: int) -> None:
    table, batch, decoded = made(**{side: outside})
    with pytest.raises(PluginError, match="positions outside the input"):
        table.add(batch, decoded)


def test_a_head_may_give_fewer_or_more_places_than_the_table_has() -> None:
    table, batch, decoded = made()
    table.add(batch, decoded)
    assert table.score.tolist() == [[1.0, -math.inf, -math.inf]]
    wide = replace(
        decoded, first=torch.ones(1, 5).long(), last=torch.arange(1, 6)[None], score=-torch.arange(5.0)[None]
    )
    table.add(batch, wide)
    assert table.score.tolist() == [[0.0, -1.0, -2.0]]


def test_rows_travel_between_processes() -> None:
    encoded = encoded_of(ONE, characters)
    windows = windows_of(encoded, [(0, [0])] * 3)
    spans = [[(0, row, row + 1, float(row))] for row in range(3)]
    whole, one, other = (SpanTable(3, 2, encoded) for _ in range(3))
    for table, rows in ((whole, [0, 1, 2]), (one, [2, 0]), (other, [1])):
        batch = batch_of(encoded, windows, rows)
        table.add(batch, candidates_of(encoded, windows, batch, [spans[row] for row in rows], [float(r) for r in rows]))
    assert one.missing == 1
    one.merge(other.rows())
    assert one.missing == 0
    for name in ("segment", "start", "end", "score", "null"):
        assert np.array_equal(getattr(one, name), getattr(whole, name))
