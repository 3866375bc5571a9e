"""Figures ready for the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.statistics import DrawnColumn, Sampling, drawn_columns, drawn_counts, mean_columns, mean_of

SAMPLING = Sampling(resamples=2000, seed=0)
RIGHT = np.array([1.0] * 70 + [0.0] * 30)
WORSE = np.array([1.0] * 40 + [0.0] * 60)


def share(values: np.ndarray, counts: np.ndarray) -> Mapping[str, np.ndarray]:
    """A mean, computed for each draw."""
    return {"share": counts @ values / counts.sum(1)}


def test_a_mean_drawn_whole_is_as_sure_as_one_by_question() -> None:
    drawn = drawn_columns(partial(share, RIGHT), 100, SAMPLING)["share"]
    plain = mean_columns({"share": RIGHT.tolist()})["share"]
    assert drawn.figure == pytest.approx(plain.figure)
    assert drawn.interval(SAMPLING) == pytest.approx(plain.interval(SAMPLING), abs=0.02)
    other = drawn_columns(partial(share, WORSE), 100, SAMPLING)["share"]
    one, two = drawn.minus(other, SAMPLING), plain.minus(mean_columns({"share": WORSE.tolist()})["share"], SAMPLING)
    assert (one.mean, one.low, one.high) == pytest.approx((two.mean, two.low, two.high), abs=0.02)
    assert one.distinguishable
    assert one.opposite == 0


def test_a_system_does_not_differ_from_itself() -> None:
    column = drawn_columns(partial(share, RIGHT), 100, SAMPLING)["share"]
    found = column.minus(column, SAMPLING)
    assert (found.mean, found.low, found.high, found.opposite) == (0, 0, 0, 1)
    assert not found.distinguishable


def test_the_mean_over_runs_is_by_draw() -> None:
    columns = [drawn_columns(partial(share, values), 100, SAMPLING)["share"] for values in (RIGHT, WORSE)]
    both = mean_of(columns)
    assert isinstance(both, DrawnColumn)
    assert both.figure == pytest.approx(0.55)
    whole = drawn_columns(partial(share, (RIGHT + WORSE) / 2), 100, SAMPLING)["share"]
    assert isinstance(whole, DrawnColumn)
    np.testing.assert_allclose(both.draws, whole.draws)
    by_question = mean_of([mean_columns({"share": values.tolist()})["share"] for values in (RIGHT, WORSE)])
    assert by_question.figure == pytest.approx(0.55)


@given(st.integers(1, 30), st.integers(1, 50), st.integers(0, 99))
def test_every_draw_is_as_large_as_the_set_and_the_same_each_time(questions: int, resamples: int, seed: int) -> None:
    parts = [np.concatenate(list(drawn_counts(questions, seed=seed, resamples=resamples))) for _ in range(2)]
    assert parts[0].shape == (resamples, questions)
    assert (parts[0].sum(1) == questions).all()
    assert (parts[0] == parts[1]).all()


def test_large_sets_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qakit.statistics.CHUNK", 30)
    parts = list(drawn_counts(10, seed=0, resamples=7))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert (np.concatenate(parts).sum(1) == 10).all()
