"""Answers with several places: any of them is right, so their probabilities add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from qakit.api import Batch
from qakit_heads.windowed import NEVER

Place = tuple[Tensor, Tensor]
"""First and last position of one place of each window's answer, (B,) int64 each, **inclusive**; 0 and 0 for none."""


def target_places(batch: Batch) -> list[Place]:
    """All places of each window's answer, the target first; empty for a batch without targets."""
    if batch.target_first is None or batch.target_last is None:
        return []
    places = [(batch.target_first, batch.target_last)]
    if batch.other_first is not None and batch.other_last is not None:
        places += zip(batch.other_first.unbind(1), batch.other_last.unbind(1), strict=True)
    return places


def over_places(scores: Iterable[Tensor], places: Sequence[Place]) -> Tensor:
    """(B,) logsumexp of the scores of all places of each window's answer; with a single place its own score.

    Source: the marginal likelihood of Clark and Gardner 2018, "Simple and Effective Multi-Paragraph Reading
    Comprehension", section 3.2; there over starts and ends apart, here over spans.

    Args:
        scores: (B,) of each place, or of "no answer" where that is the target; log-probabilities or scores.
        places: at least one, from :func:`target_places`.
    """
    first, *others = scores
    if not others:
        return first
    held = [first, *(each.masked_fill(at == 0, NEVER) for each, (at, _) in zip(others, places[1:], strict=True))]
    return torch.stack(held, 1).logsumexp(1)
