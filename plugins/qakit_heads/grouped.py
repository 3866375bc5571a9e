"""Softmaxes over all windows of an example, and over its contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qakit.api import Batch, Distributions
from qakit_heads.windowed import NEVER


@dataclass(frozen=True, slots=True)
class Groups:
    """The examples of a batch whose windows are neighbours, as the batches of heads that read groups are.

    Attributes:
        of: (B,) int64, each window's example, numbered from 0 in the batch.
        count: how many there are.
    """

    of: Tensor
    count: int

    @staticmethod
    def in_batch(batch: Batch) -> Groups:
        """Those of a batch."""
        numbers, of = torch.unique_consecutive(batch.example, return_inverse=True)
        return Groups(of, len(numbers))

    def logsumexp(self, values: Tensor) -> Tensor:
        """(B,) float32 -> (G,) over each example's windows; about :data:`NEVER` where all values are."""
        return scattered_logsumexp(values, self.of, self.count)


def scattered_logsumexp(values: Tensor, index: Tensor, count: int) -> Tensor:
    """(N,) float32, finite, and their places (N,) int64 below ``count`` -> (count,); a place without values gets 0."""
    top = values.new_zeros(count).scatter_reduce(0, index, values.detach(), "amax", include_self=False)
    total = values.new_zeros(count).index_add(0, index, (values - top[index]).exp())
    held = values.new_zeros(count).index_add(0, index, torch.ones_like(values)) > 0
    return torch.where(held, top + total.masked_fill(~held, 1.0).log(), 0.0)


def context_loss(logits: Tensor, batch: Batch, groups: Groups) -> Tensor:
    """Cross-entropy of the context that holds the answer among all of its example, () float32.

    A context in several windows counts by its best one. The mean is over examples whose relevant context is in the
    batch; without any it is 0.

    Args:
        logits: (B, S) float32, of each window's segments.
    """
    assert batch.target_segment is not None
    best, owner, place = _contexts(logits, batch, groups)
    real = batch.contexts >= 0
    column = torch.arange(real.shape[1], device=logits.device)
    chosen = (column == batch.target_segment[:, None])[real]
    right = torch.zeros_like(best, dtype=torch.bool).index_put((place[chosen],), chosen[chosen])  # (C,)
    everything = scattered_logsumexp(best, owner, groups.count)
    losses = everything[owner[right]] - best[right]
    return losses.sum() / max(1, len(losses))


def over_contexts(logits: Tensor, batch: Batch, groups: Groups, *, weight: float = 1.0) -> Distributions:
    """The softmax of :func:`context_loss` over the contexts of each example; ``logits`` (B, S) float32."""
    best, owner, _ = _contexts(logits, batch, groups)
    everything = scattered_logsumexp(best, owner, groups.count)
    return Distributions(best - everything[owner], torch.ones_like(best, dtype=torch.bool), groups.count, weight)


def _contexts(logits: Tensor, batch: Batch, groups: Groups) -> tuple[Tensor, Tensor, Tensor]:
    """The C contexts of a batch, from the logits (B, S) of the N segments that its windows have.

    Returns:
        (C,) the best logit of each, (C,) its example, numbered as in ``groups``, and (N,) each segment's context.
    """
    real = batch.contexts >= 0
    numbers, place = torch.unique(batch.contexts[real], return_inverse=True)
    best = logits.new_full((len(numbers),), NEVER).scatter_reduce(0, place, logits[real], "amax", include_self=False)
    window = torch.arange(len(batch), device=logits.device)[:, None].expand_as(real)[real]
    owner = groups.of.new_zeros(len(numbers)).index_put((place,), groups.of[window])
    return best, owner, place


def over_windows(scores: Tensor, possible: Tensor, groups: Groups, *, weight: float = 1.0) -> Distributions:
    """The softmax of :func:`among_windows` over the positions of all windows of each example; (B, T) float32, bool."""
    scores = scores.masked_fill(~possible, NEVER)
    everything = groups.logsumexp(scores.logsumexp(1))
    return Distributions(scores - everything[groups.of, None], possible, groups.count, weight)


def among_windows(scores: Tensor, possible: Tensor, targets: Sequence[Tensor], groups: Groups) -> Tensor:
    """Cross-entropy of a position among those of all windows of its example, () float32.

    Every window that holds the answer is right, at each of its places: their probabilities add up. Source: Clark and
    Gardner 2018, "Simple and Effective Multi-Paragraph Reading Comprehension", section 3.3, "shared-normalization".

    Args:
        scores: (B, T) float32.
        possible: (B, T) bool, where the position may be.
        targets: (B,) int64 each: its place in each window, -1 where the window does not hold it; further right places,
            0 where there is none. The mean is over examples with a window that holds it; without any it is 0.
    """
    everything = groups.logsumexp(scores.masked_fill(~possible, NEVER).logsumexp(1))
    target, *others = targets
    held = target >= 0
    at_target = scores.gather(1, target.clamp(min=0)[:, None]).squeeze(1)
    if others:
        places = torch.zeros_like(possible).scatter(1, torch.stack([target.clamp(min=0), *others], 1), value=True)
        places[:, 0] = target == 0
        at_target = scores.masked_fill(~places, NEVER).logsumexp(1)
    right = groups.logsumexp(torch.where(held, at_target, NEVER))
    counts = torch.zeros(groups.count, dtype=torch.bool, device=scores.device)
    counts[groups.of[held]] = True
    losses = torch.where(counts, everything - right, 0.0)
    return losses.sum() / counts.sum().clamp(min=1)
