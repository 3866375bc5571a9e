"""Processes find out whether they have the same work before them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qakit.distributed import Workers, check_same
from qakit.errors import RunError


@dataclass(frozen=True)
class Read:
    """What a process has read."""

    numbers: NDArray[np.int32]
    more: NDArray[np.float32]


class Meeting(Workers):
    """Processes that meet in this one, each in a thread."""

    table: list[Any]
    barrier: threading.Barrier

    def gather(self, value: Any) -> list[Any]:
        self.table[self.rank] = value
        self.barrier.wait(30)
        return list(self.table)


def outcome(*works: tuple[object, ...]) -> list[str | None]:
    """What each process is told that has these parts before it."""
    told: list[str | None] = ["did not end"] * len(works)
    Meeting.table, Meeting.barrier = [None] * len(works), threading.Barrier(len(works))

    def process(rank: int) -> None:
        try:
            check_same(Meeting(rank, len(works)), *works[rank])
            told[rank] = None
        except RunError as error:
            told[rank] = str(error)

    threads = [threading.Thread(target=process, args=(rank,)) for rank in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def read() -> Read:
    return Read(np.arange(5000, dtype=np.int32), np.array([[1, np.nan]], np.float32))


def test_the_same_work_made_by_each() -> None:
    backwards = replace(read(), numbers=np.arange(4999, -1, -1, dtype=np.int32)[::-1])
    assert outcome((3, {"a": None}, read()), (3, {"a": None}, read()), (3, {"a": None}, backwards)) == [None] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda: (4, read()),
        lambda: (3, replace(read(), numbers=np.where(np.arange(5000) == 2500, 7, read().numbers).astype(np.int32))),
        lambda: (3, replace(read(), numbers=read().numbers[:-1])),
        lambda: (3, replace(read(), more=read().more.T)),
        lambda: (3, replace(read(), more=np.zeros((0, 2), np.float32))),
    ],
)
def test_whatever_differs_is_told_to_all(change: Callable[[], tuple[object, ...]]) -> None:
    told = outcome((3, read()), (3, read()), change())
    assert len(set(told)) == 1
    assert told[0] is not None
    assert "process 2 (on " in told[0]


def test_one_process_compares_nothing() -> None:
    check_same(Workers(), object())
