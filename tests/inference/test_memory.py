"""Batches that do not fit into memory are cut, and nothing is lost or computed twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qakit.errors import RunError
from qakit.inference.memory import within_memory
from qakit.system import is_out_of_memory

Rows = NDArray[np.int64]


def test_running_out_of_memory_is_known_by_type_or_words() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def fitting(room: int, sizes: list[int]) -> tuple[list[Rows], list[int], list[str]]:
    """The pieces that were computed, the sizes that were tried, what was said."""
    tried: list[int] = []
    said: list[str] = []

    def compute(rows: Rows) -> int:
        tried.append(len(rows))
        if len(rows) > room:
            raise torch.OutOfMemoryError("out of memory")
        return int(rows.sum())

    ends = np.cumsum(sizes)
    batches = [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    done = list(within_memory(batches, compute, notice=said.append))
    assert all(result == rows.sum() for rows, result in done)
    return [rows for rows, _ in done], tried, said


def test_a_batch_is_halved_until_it_fits_and_later_ones_begin_there() -> None:
    pieces, tried, said = fitting(3, [8, 8, 2])
    assert [len(piece) for piece in pieces] == [2, 2, 2, 2, 2, 2, 2, 2, 2]
    assert tried == [8, 4, *(2,) * 9], "each size that does not fit is tried once"
    assert said == [
        f"out of memory: from now on {most} windows at most are scored at a time (predict.batch_size={most})"
        for most in (4, 2)
    ]


def test_what_fits_is_left_as_it_is() -> None:
    pieces, _, said = fitting(8, [8, 5])
    assert ([len(piece) for piece in pieces], said) == ([8, 5], [])


@given(room=st.integers(1, 20), sizes=st.lists(st.integers(1, 40), max_size=6))
def test_every_row_is_computed_once_and_in_order(room: int, sizes: list[int]) -> None:
    pieces, _, _ = fitting(room, sizes)
    assert [row for piece in pieces for row in piece.tolist()] == list(range(sum(sizes)))
    assert all(1 <= len(piece) <= room for piece in pieces)


@given(room=st.integers(5, 20), counts=st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_groups_stay_together(room: int, counts: list[int]) -> None:
    group = np.repeat(np.arange(len(counts)), counts)

    def compute(rows: Rows) -> None:
        if len(rows) > room:
            raise MemoryError

    cut = within_memory([np.arange(len(group))], compute, groups=lambda rows: group[rows], notice=lambda _: None)
    seen = [set(group[rows].tolist()) for rows, _ in cut]
    assert sum(map(len, seen)) == len(counts), "no group is in two pieces"


def test_when_nothing_fits_it_ends_with_advice() -> None:
    with pytest.raises(RunError, match=r"out of memory with a single window: choose a smaller windows\.max_length"):
        fitting(0, [4])


def test_other_errors_pass() -> None:
    def broken(_: Rows) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        list(within_memory([np.arange(4)], broken))
