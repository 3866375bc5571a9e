"""How a step's windows are dealt out to processes and forward passes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qakit.training.feed import parts_of


def test_without_groups_every_window_counts_alike() -> None:
    parts = parts_of(np.arange(5), accumulation=2, rank=0, processes=1)
    assert [part.rows.tolist() for part in parts] == [[0, 1, 2], [3, 4]]
    assert [part.weight for part in parts] == [0.6, 0.4]
    assert [part.units for part in parts] == [3, 2]


def test_a_group_counts_once_however_many_windows_it_has() -> None:
    groups = np.array([4, 4, 4, 4, 1, 9])
    parts = parts_of(np.arange(6), accumulation=2, rank=0, processes=1, groups=groups)
    assert [part.rows.tolist() for part in parts] == [[0, 1, 2, 3, 4], [5]]
    assert [part.weight for part in parts] == [2 / 3, 1 / 3]


def test_a_single_process_has_no_parts_without_work() -> None:
    parts = parts_of(np.arange(2), accumulation=4, rank=0, processes=1)
    assert [(part.weight, part.units) for part in parts] == [(0.5, 1), (0.5, 1)]


def test_a_process_without_work_gets_a_filler_that_does_not_count() -> None:
    groups = np.array([4, 4, 1])
    parts = [
        part
        for rank in range(3)
        for part in parts_of(np.arange(3), accumulation=1, rank=rank, processes=3, groups=groups)
    ]
    assert [part.rows.tolist() for part in parts] == [[0, 1], [2], [0, 1]]
    assert [part.weight for part in parts] == [0.5, 0.5, 0.0]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=9), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_together_they_hold_each_row_once(sizes: list[int], accumulation: int, processes: int, grouped: bool) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes) if grouped else None
    rows = np.arange(sum(sizes)) * 3
    parts = [
        part
        for rank in range(processes)
        for part in parts_of(rows, accumulation=accumulation, rank=rank, processes=processes, groups=groups)
    ]
    counted = [part for part in parts if part.weight]
    assert sorted(np.concatenate([part.rows for part in counted]).tolist()) == rows.tolist()
    assert abs(sum(part.weight for part in parts) - 1) < 1e-12
    assert len({part.address for part in parts}) == len(parts)
    assert all(len(part.rows) for part in parts)
    assert processes == 1 or len(parts) == accumulation * processes
