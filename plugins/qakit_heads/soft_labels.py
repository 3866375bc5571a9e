"""Targets spread over the places that give nearly the answer.

Overlap is the Jaccard index of two spans as sets of positions: how many lie in both, over how many lie in either.
Source: winning solutions of Kaggle's Tweet Sentiment Extraction (2020), whose metric it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qakit_heads.segments import segment_begins, segment_stops


def overlap(first: Tensor, last: Tensor, answer_first: Tensor, answer_last: Tensor) -> Tensor:
    """Jaccard index of the spans [first, last] and [answer_first, answer_last], ends inclusive; 0 for ``last < first``.

    All int64 of shapes that broadcast; the result is float32.
    """
    both = (torch.minimum(last, answer_last) - torch.maximum(first, answer_first) + 1).clamp(min=0)
    either = (last - first + 1) + (answer_last - answer_first + 1) - both
    return torch.where(last >= first, both / either.clamp(min=1), 0.0)


def soft_boundaries(
    answer_first: Tensor, answer_last: Tensor, context_mask: Tensor, *, sharpness: float
) -> tuple[Tensor, Tensor]:
    """Target distributions of the first and of the last position, (B, T) float32 each.

    A first position counts by the overlap of the span from there to the answer's last token, a last position by that
    of the span from the answer's first token to there. Both stay within the answer's own context. Windows without the
    answer (targets 0) keep all on position 0.

    Args:
        answer_first: (B,) int64 position.
        answer_last: (B,) int64 position, inclusive.
        context_mask: (B, T) bool.
        sharpness: power of the overlaps before they are normalised.
    """
    position = torch.arange(context_mask.shape[1], device=context_mask.device)[None]
    first, last = answer_first[:, None], answer_last[:, None]
    begin, stop = segment_begins(context_mask).gather(1, first), segment_stops(context_mask).gather(1, last)
    own = (position >= begin) & (position < stop)
    # Without an answer, both targets are 0 and only the "span" from 0 to 0 overlaps it.
    own |= position == first
    starts = overlap(position, last, first, last).masked_fill(~own, 0.0)
    ends = overlap(first, position, first, last).masked_fill(~own, 0.0)
    return _distribution(starts, sharpness), _distribution(ends, sharpness)


def soft_span_weights(answer_first: Tensor, answer_last: Tensor, possible: Tensor, *, sharpness: float) -> Tensor:
    """Target weights of spans by first position and length, (B, T, L) float32, before they are normalised.

    The answer itself has weight 1. All are zero in windows without the answer.

    Args:
        answer_first: (B,) int64 position; 0 for none.
        answer_last: (B,) int64 position, inclusive.
        possible: (B, T, L) bool, the spans that count, of 1 to L positions.
        sharpness: power of the overlaps.
    """
    first = torch.arange(possible.shape[1], device=possible.device)[:, None]
    last = first + torch.arange(possible.shape[2], device=possible.device)
    overlaps = overlap(first, last, answer_first[:, None, None], answer_last[:, None, None])
    return overlaps.masked_fill(~possible | (answer_first == 0)[:, None, None], 0.0) ** sharpness


def _distribution(overlaps: Tensor, sharpness: float) -> Tensor:
    """(B, T), each row raised to the power and brought to the sum 1."""
    weights = overlaps**sharpness
    return weights / weights.sum(1, keepdim=True)
