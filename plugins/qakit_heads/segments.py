"""Where each context of a window begins and stops, read off the gaps in the context mask."""

from __future__ import annotations

import torch
from torch import Tensor


def opens_segment(context_mask: Tensor) -> Tensor:
    """(B, T) bool: context positions that do not directly follow another: the first ones of their contexts."""
    opens = context_mask.clone()
    opens[:, 1:] &= ~context_mask[:, :-1]
    return opens


def segment_stops(context_mask: Tensor) -> Tensor:
    """(B, T) int64: one past the last position of the segment that a context position belongs to; elsewhere the
    position itself.

    A segment is a run of context positions: between two contexts stand special tokens.
    """
    width = context_mask.shape[1]
    position = torch.arange(width, device=context_mask.device).expand_as(context_mask)
    outside = position.masked_fill(context_mask, width)
    return outside.flip(1).cummin(1).values.flip(1)


def segment_begins(context_mask: Tensor) -> Tensor:
    """(B, T) int64: the first position of the segment that a context position belongs to; elsewhere one past the
    position itself."""
    position = torch.arange(context_mask.shape[1], device=context_mask.device).expand_as(context_mask)
    return position.masked_fill(context_mask, -1).cummax(1).values + 1


def spans_from(context_mask: Tensor, limit: int) -> Tensor:
    """(B, T) int64: how many spans start at each position: within its context and of at most ``limit`` positions."""
    position = torch.arange(context_mask.shape[1], device=context_mask.device)
    return (segment_stops(context_mask) - position).clamp(max=limit)


def spans_to(context_mask: Tensor, limit: int) -> Tensor:
    """(B, T) int64: how many spans end at each position."""
    position = torch.arange(context_mask.shape[1], device=context_mask.device)
    return (position + 1 - segment_begins(context_mask)).clamp(max=limit)


def segment_numbers(context_mask: Tensor) -> Tensor:
    """(B, T) int64: 1, 2 ... for the positions of a window's first, second ... segment; 0 elsewhere."""
    return opens_segment(context_mask).long().cumsum(1) * context_mask
