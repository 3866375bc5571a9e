"""Softmaxes over all windows of an example, and over its contexts.

Nothing here waits for the device: how many examples and contexts a batch has is known on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qakit.api import Batch, Distributions
from qakit_heads.windowed import NEVER


def scattered_logsumexp(values: Tensor, index: Tensor, count: int) -> Tensor:
    """(N,) float32, finite, and their places (N,) int64 below ``count`` -> (count,); a place without values gets 0."""
    top = values.new_zeros(count).scatter_reduce(0, index, values.detach(), "amax", include_self=False)
    total = values.new_zeros(count).index_add(0, index, (values - top[index]).exp())
    held = places_of(torch.ones_like(values), index, count)
    return torch.where(held, top + total.masked_fill(~held, 1.0).log(), 0.0)


def places_of(chosen: Tensor, index: Tensor, count: int) -> Tensor:
    """(count,) bool, the places ``index`` (N,) int64 of what is ``chosen`` (N,), bool or numbers of at least 0."""
    return torch.zeros(count, device=chosen.device).index_add(0, index, chosen.float()) > 0


def context_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of the context that holds the answer among all of its example, () float32.

    A context in several windows counts by its best one. The mean is over examples whose relevant context is in the
    batch; without any it is 0.

    Args:
        logits: (B, S) float32, of each window's segments.
    """
    assert batch.target_segment is not None
    best, place = _contexts(logits, batch)
    column = torch.arange(logits.shape[1], device=logits.device)
    chosen = (column == batch.target_segment[:, None]).flatten()
    right = places_of(chosen, place, len(best) + 1)[:-1]  # (C,)
    everything = scattered_logsumexp(best, batch.context_example, batch.examples)
    losses = torch.where(right, everything[batch.context_example] - best, 0.0)
    return losses.sum() / right.sum().clamp(min=1)


def over_contexts(logits: Tensor, batch: Batch, *, weight: float = 1.0) -> Distributions:
    """The softmax of :func:`context_loss` over the contexts of each example; ``logits`` (B, S) float32."""
    best, _ = _contexts(logits, batch)
    everything = scattered_logsumexp(best, batch.context_example, batch.examples)
    log_probability = best - everything[batch.context_example]
    return Distributions(log_probability, torch.ones_like(best, dtype=torch.bool), batch.examples, weight)


def _contexts(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """(C,) the best logit of each context of a batch, from those of its windows' segments (B, S); and (B x S,) each
    segment's context, C where a window has none."""
    count = len(batch.context_example)
    place = torch.where(batch.contexts >= 0, batch.contexts, count).flatten()
    best = logits.new_full((count + 1,), NEVER)
    return best.scatter_reduce(0, place, logits.flatten(), "amax")[:-1], place


def over_windows(scores: Tensor, possible: Tensor, batch: Batch, *, weight: float = 1.0) -> Distributions:
    """The softmax of :func:`among_windows` over the positions of all windows of each example; (B, T) float32, bool."""
    scores = scores.masked_fill(~possible, NEVER)
    everything = scattered_logsumexp(scores.logsumexp(1), batch.example, batch.examples)
    return Distributions(scores - everything[batch.example, None], possible, batch.examples, weight)


def among_windows(scores: Tensor, possible: Tensor, targets: Sequence[Tensor], batch: Batch) -> Tensor:
    """Cross-entropy of a position among those of all windows of its example, () float32.

    Every window that holds the answer is right, at each of its places: their probabilities add up. Source: Clark and
    Gardner 2018, "Simple and Effective Multi-Paragraph Reading Comprehension", section 3.3, "shared-normalization".

    Args:
        scores: (B, T) float32.
        possible: (B, T) bool, where the position may be.
        targets: (B,) int64 each: its place in each window, -1 where the window does not hold it; further right places,
            0 where there is none. The mean is over examples with a window that holds it; without any it is 0.
    """
    inside = scores.masked_fill(~possible, NEVER).logsumexp(1)
    everything = scattered_logsumexp(inside, batch.example, batch.examples)
    target, *others = targets
    held = target >= 0
    at_target = scores.gather(1, target.clamp(min=0)[:, None]).squeeze(1)
    if others:
        places = torch.zeros_like(possible).scatter(1, torch.stack([target.clamp(min=0), *others], 1), value=True)
        places[:, 0] = target == 0
        at_target = scores.masked_fill(~places, NEVER).logsumexp(1)
    right = scattered_logsumexp(torch.where(held, at_target, NEVER), batch.example, batch.examples)
    counts = places_of(held, batch.example, batch.examples)
    losses = torch.where(counts, everything - right, 0.0)
    return losses.sum() / counts.sum().clamp(min=1)
