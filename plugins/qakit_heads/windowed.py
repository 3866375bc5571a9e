"""Sums over windows of positions, such as all ends that a start reaches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEVER = -1e30
"""The score of what is impossible: finite, so that no gradient becomes NaN, and so low that nothing of it is left in a
sum of probabilities."""


def moved(values: Tensor, by: int, *, never: float = NEVER) -> Tensor:
    """(B, T): each position's value is the one ``by`` positions on; after the end there is ``never``."""
    by = min(by, values.shape[1])
    return F.pad(values[:, by:], (0, by), value=never)


def windowed_logsumexp(values: Tensor, length: int, *, stops: Tensor | None = None, never: float = NEVER) -> Tensor:
    """(B, T) logsumexp of ``values[i : min(i + length, stops[i])]`` at each i: exact, in O(log length) steps.

    Runs of 1, 2, 4 ... values are summed by doubling; the binary digits of ``length`` say which of them together make
    one run of that length. No value is subtracted again, so no precision is lost.

    Args:
        values: (B, T) float, finite.
        length: in positions, at least 1.
        stops: (B, T) int64, more than i at each position i that matters; by default the end, T.
        never: stands for the logarithm of 0.
    """
    length = min(length, values.shape[1])
    position = torch.arange(values.shape[1], device=values.device)

    def reached(sums: Tensor, by: int) -> Tensor:
        ahead = moved(sums, by, never=never)
        return ahead if stops is None else ahead.masked_fill(position + by >= stops, never)

    run, width = values, 1
    covered, result = 0, None
    while True:
        if length & width:
            result = run if result is None else torch.logaddexp(result, reached(run, covered))
            covered += width
        if 2 * width > length:
            assert result is not None  # the highest digit is 1
            return result
        run = torch.logaddexp(run, reached(run, width))
        width *= 2
