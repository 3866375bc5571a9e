"""One weight for each member, as shares of 1."""

from __future__ import annotations

import math
from collections.abc import Sequence


def as_shares(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights as shares of 1.

    Raises:
        ValueError: one is negative or no number, or none is above 0.
    """
    total = sum(weights)
    if any(not 0 <= weight < math.inf for weight in weights) or not 0 < total < math.inf:
        raise ValueError("weights must be numbers from 0 up, at least one above 0")
    return tuple(weight / total for weight in weights)
