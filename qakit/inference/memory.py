"""Scoring that continues when memory runs out, with fewer windows at a time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from qakit.data.arrays import Int64
from qakit.data.batching import split
from qakit.errors import RunError
from qakit.modeling.device import empty_cache
from qakit.system import is_out_of_memory

T = TypeVar("T")

logger = logging.getLogger(__name__)


def within_memory(
    batches: Iterable[Int64],
    compute: Callable[[Int64], T],
    *,
    groups: Callable[[Int64], Int64 | None] = lambda _: None,
    notice: Callable[[str], None] = logger.warning,
) -> Iterator[tuple[Int64, T]]:
    """``(rows, compute(rows))`` for all batches in order; what does not fit into memory is cut in halves.

    Later batches are cut to the size that was found, so that each size is tried once. The same rows come in the same
    order however they are cut; the last bits of scores may differ, since a smaller batch is padded to another length.

    Args:
        batches: rows of windows, each (B,).
        compute: called again with fewer rows when memory ran out in it, so it must change nothing elsewhere.
        groups: (B,) a number for each row, for rows that must stay together (see :func:`qakit.data.batching.split`);
            None if each is for itself.
        notice: called once for each halving.

    Raises:
        RunError: not even one window (one group) fits.
    """
    most: int | None = None
    for batch in batches:
        waiting = deque([batch])
        while waiting:
            rows = waiting.popleft()
            together = groups(rows)
            count = len(rows) if together is None else len(np.unique(together))
            if most is not None and count > most:
                waiting.extendleft(reversed(split(rows, parts=-(-count // most), groups=together)))
                continue
            try:
                result = compute(rows)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if count == 1:
                    raise RunError(_too_large(grouped=together is not None)) from error
            else:
                yield rows, result
                del result  # the next batch needs its room
                continue
            # Only here, after the except block, is the memory of the failed attempt free.
            empty_cache()
            most = (count + 1) // 2
            notice(_cut(most, grouped=together is not None))
            waiting.appendleft(rows)


def _cut(most: int, *, grouped: bool) -> str:
    if grouped:
        return f"out of memory: from now on the windows of {most} examples at most are scored at a time"
    return f"out of memory: from now on {most} windows at most are scored at a time (predict.batch_size={most})"


def _too_large(*, grouped: bool) -> str:
    what = "the windows of a single example, which its head reads together" if grouped else "a single window"
    return f"out of memory with {what}: choose a smaller windows.max_length or backbone"
