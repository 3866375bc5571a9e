"""A linear chain of O, B, I tags over the context tokens of each window (a conditional random field).

The chain of a window runs over the positions in ``mask``, in order; what lies between them (special tokens, padding) is
no part of it. A tag path's score is the sum of its emissions, of the transitions between neighbours, and of one start
and one end score. Illegal steps are barred, whatever the parameters say: I after O, I at the start, and I at a token
that does not directly follow a context token, since an answer cannot cross from one context into the next.

**Scores here are relative to the path that is O everywhere**, which so has score 0: a constant per window that cancels
in every probability. It keeps the numbers small where most tokens are O, so that float32 does for long windows.

Source: Lafferty et al. 2001, "Conditional Random Fields: Probabilistic Models for Segmenting and Labeling Sequence
Data".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from qakit_heads.chain_scan import derive, log_product, max_product, multiply, scan_order
from qakit_heads.segments import opens_segment

OUTSIDE, BEGIN, INSIDE = 0, 1, 2
"""The tags O, B and I: indices of emissions and of transitions."""
TAGS = 3
LN_2 = math.log(2)
BARRED = -1e30
"""The log-potential of an illegal step: finite, so that no difference of two of them is NaN; exp gives exactly 0."""


@dataclass(frozen=True, slots=True)
class Transitions:
    """The chain's parameters, log-potentials. Barred entries are never read.

    Attributes:
        between: (3, 3) float, from the tag in the row to the tag in the column.
        start: (3,) float, of the first tag.
        end: (3,) float, of the last tag.
    """

    between: Tensor
    start: Tensor
    end: Tensor


def log_partition(emissions: Tensor, transitions: Transitions, mask: Tensor) -> Tensor:
    """Log of the sum of exp(score) over all legal tag paths, relative to the path that is all O. Differentiable once.

    Args:
        emissions: (B, T, 3) float.
        transitions: in the same dtype.
        mask: (B, T) bool, the positions of the chain.

    Returns:
        (B,) in the dtype of ``emissions``, never negative; 0 for a window without a chain.
    """
    parameters = transitions.between, transitions.start, transitions.end
    total: Tensor = _LogPartition.apply(emissions, *parameters, mask)  # type: ignore[no-untyped-call]
    return total


def path_score(emissions: Tensor, transitions: Transitions, mask: Tensor, tags: Tensor) -> Tensor:
    """The score of one tag path of each window, relative to the path that is all O.

    Args:
        emissions: (B, T, 3) float.
        transitions: in the same dtype.
        mask: (B, T) bool, the positions of the chain.
        tags: (B, T) int64, 0 for O, 1 for B, 2 for I; outside the chain anything.

    Returns:
        (B,) float.
    """
    chain = F.one_hot(tags.masked_fill(~mask, OUTSIDE), TAGS).to(emissions.dtype)  # (B, T, 3)
    gains = chain - chain.new_tensor([1.0, 0.0, 0.0])  # in place of the O there
    place = torch.arange(mask.shape[1], device=mask.device)
    last_so_far = torch.where(mask, place, -1).cummax(1).values
    before = F.pad(last_so_far[:, :-1], (1, 0), value=-1)  # the chain's position before each; -1 before its first
    previous = chain.gather(1, before.clamp(min=0)[:, :, None].expand_as(chain))
    step, some = mask & (before >= 0), mask.any(1).to(emissions.dtype)
    # How often the path takes each transition; each stands in the place of one between two O.
    between = (previous * step[:, :, None]).mT @ chain  # (B, 3, 3)
    start = (chain * (mask & (before < 0))[:, :, None]).sum(1)
    end = (chain * (mask & (place == last_so_far[:, -1:]))[:, :, None]).sum(1)
    between[:, OUTSIDE, OUTSIDE] -= step.sum(1)
    start[:, OUTSIDE] -= some
    end[:, OUTSIDE] -= some
    counts = torch.cat([between.flatten(1), start, end], 1)
    weights = torch.cat([transitions.between.flatten(), transitions.start, transitions.end])
    return (emissions * gains).sum((1, 2)) + counts @ weights


def tags_of(places: Iterable[tuple[Tensor, Tensor]], mask: Tensor) -> Tensor:
    """The path O..O B I..I O..O with a span at each of some places of each window: (B, T) int64.

    Args:
        places: first and last position, (B,) int64 each, **inclusive**; 0 for none.
        mask: (B, T) bool, the positions of the chain.
    """
    place = torch.arange(mask.shape[1], device=mask.device)
    begin, inside = torch.zeros_like(mask), torch.zeros_like(mask)
    for first, last in places:
        begin |= (place == first[:, None]) & (first > 0)[:, None]
        inside |= (place > first[:, None]) & (place <= last[:, None])
    return torch.where(begin, BEGIN, INSIDE * inside.long())


@torch.no_grad()
def viterbi(emissions: Tensor, transitions: Transitions, mask: Tensor) -> Tensor:
    """The best legal tag path of each window; of several, any one.

    Args:
        emissions: (B, T, 3) float.
        transitions: in the same dtype.
        mask: (B, T) bool, the positions of the chain.

    Returns:
        (B, T) int64: 0 for O, 1 for B, 2 for I; -1 outside the chain.

    Source: Viterbi 1967; as the derivative of the best path's score, see :mod:`~qakit_heads.chain_scan`.
    """
    leaves, _, _ = _leaves(emissions, transitions, mask)
    product, derivatives = multiply(leaves, max_product)
    final = product[OUTSIDE] + (transitions.end - transitions.end[OUTSIDE])[:, None]  # (3, B)
    root = torch.zeros_like(product)
    root[OUTSIDE].scatter_(0, final.argmax(0, keepdim=True), 1.0)
    steps = derive(root, derivatives).sum(0)  # (3, T, B): 1 for the tag on the path
    _, back = scan_order(mask.shape[1], mask.device)
    return steps.argmax(0).index_select(0, back).T.masked_fill(~mask, -1)


def _leaves(emissions: Tensor, transitions: Transitions, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each position's matrix of log-potentials, relative to the step from O to O; the identity outside the chain.

    The tag before the first one counts as O: its row takes the start scores there.

    Returns:
        leaves (3, 3, T, B); where the chain is (T, B) bool, and where its first position is; all in scan order.
    """
    order, _ = scan_order(mask.shape[1], mask.device)
    first = mask & (mask.cumsum(1) == 1)
    chain, opens, first = torch.stack([mask.T, opens_segment(mask).T, first.T]).index_select(1, order)
    tags = emissions.permute(2, 1, 0)
    gains = (tags[1:] - tags[:1]).index_select(1, order)  # (2, T, B), of B and I over O
    steps = transitions.between - transitions.between[OUTSIDE, OUTSIDE]
    leaves = emissions.new_empty(TAGS, TAGS, *chain.shape)
    leaves[:, OUTSIDE] = steps[:, OUTSIDE, None, None]
    torch.add(steps[:, BEGIN:, None, None], gains, out=leaves[:, BEGIN:])
    leaves[OUTSIDE, INSIDE] = BARRED
    leaves[:, INSIDE].masked_fill_(opens, BARRED)
    leaves[OUTSIDE, BEGIN] += first * (transitions.start[BEGIN] - transitions.start[OUTSIDE] - steps[OUTSIDE, BEGIN])
    leaves.masked_fill_(~chain, BARRED)
    leaves.diagonal().masked_fill_(~chain[..., None], 0.0)
    return leaves, chain, first


class _LogPartition(torch.autograd.Function):
    """:func:`log_partition`; its derivatives are the expected counts of tags and transitions."""

    @staticmethod
    def forward(ctx: Any, emissions: Tensor, between: Tensor, start: Tensor, end: Tensor, mask: Tensor) -> Tensor:
        transitions = Transitions(between / LN_2, start / LN_2, end / LN_2)
        leaves, chain, first = _leaves(emissions / LN_2, transitions, mask)
        product, derivatives = multiply(leaves, log_product)
        final = LN_2 * product[OUTSIDE] + (end - end[OUTSIDE])[:, None]  # (3, B)
        total = final.logsumexp(0)
        ctx.save_for_backward(chain, first, (final - total).exp_(), *derivatives)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        chain, first, last_tag, *derivatives = ctx.saved_tensors
        last_tag = last_tag * grad  # (3, B)
        root = last_tag.new_zeros(TAGS, *last_tag.shape)
        root[OUTSIDE] = last_tag
        steps = derive(root, derivatives)  # (3, 3, T, B)
        for tag in (BEGIN, INSIDE):  # outside the chain a tag only stays what it is
            steps[tag, tag].mul_(chain)

        _, back = scan_order(chain.shape[0], chain.device)
        gains = steps[:, BEGIN:].sum(0).index_select(1, back)  # (2, T, B)
        tags = torch.cat([-gains.sum(0, keepdim=True), gains]).permute(2, 1, 0)

        between = steps.sum((2, 3))
        start = between.new_zeros(TAGS)
        start[BEGIN] = (steps[OUTSIDE, BEGIN] * first).sum()
        start[OUTSIDE] = -start[BEGIN]
        between[OUTSIDE, BEGIN] -= start[BEGIN]
        between[OUTSIDE, OUTSIDE] = 0.0
        between[OUTSIDE, OUTSIDE] = -between.sum()
        end = last_tag.sum(1)
        end[OUTSIDE] = -end[BEGIN:].sum()
        return tags, between, start, end, None
