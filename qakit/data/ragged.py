"""Index arithmetic for runs of different lengths that lie one after the other in a flat array."""

from __future__ import annotations

import numpy as np

from qakit.data.arrays import Int64, Integers


def pointers_of(lengths: Integers) -> Int64:
    """(K,) lengths -> (K + 1,) pointers: run k is [pointers[k], pointers[k + 1])."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def ranges(starts: Integers, lengths: Integers) -> Int64:
    """The numbers ``start, start + 1, ...`` of every run, one run after the other: (sum of lengths,)."""
    pointers = pointers_of(lengths)
    return np.arange(pointers[-1]) + np.repeat(starts - pointers[:-1], lengths)
