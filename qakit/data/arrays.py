"""Arrays of numbers: their types, and index arithmetic for runs that lie one after the other in a flat array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Integers = NDArray[np.signedinteger[Any]]
Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def pointers_of(lengths: Integers) -> Int64:
    """(K,) lengths -> (K + 1,) pointers: run k is [pointers[k], pointers[k + 1])."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def ranges(starts: Integers, lengths: Integers) -> Int64:
    """The numbers ``start, start + 1, ...`` of every run, one run after the other: (sum of lengths,)."""
    pointers = pointers_of(lengths)
    return np.arange(pointers[-1]) + np.repeat(starts - pointers[:-1], lengths)
