"""Single answers in a BIO chain: the score of every tag path with exactly one span, and what is computed from them.

The path that is O but for one span [first..last] differs from the path that is all O in the span's emissions and in the
transitions in and around it. With running sums of "I instead of O" its relative score is ``first[first] + last[last]``,
as under independent start and end scores; only spans of one token, which have no I, need a term of their own. So the
n-best spans under the chain are as cheap as those of a linear head, and exact; their sum takes one ``logcumsumexp``.

Running sums are float64: over 500 tokens they reach thousands, of which float32 would keep three decimals.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qakit.api import ModelError, best_spans
from qakit_heads.chain import BEGIN, INSIDE, OUTSIDE, Transitions
from qakit_heads.segments import opens_segment
from qakit_heads.windowed import moved, windowed_logsumexp

CROSSING = -1e8
"""What a span loses by crossing from one context into the next. Far below any score, and yet small enough that running
sums in float64 keep seven decimals beside it."""
NOWHERE = -1e18
"""The score of a position outside the chain: finite, so that derivatives are."""


@dataclass(frozen=True, slots=True)
class SpanScores:
    """The scores of all single-span paths, relative to the path that is all O. float64, differentiable.

    A span of one token scores ``single[first]``; a longer one ``first[first] + last[last]``, which is about
    :data:`CROSSING` or less where it does not lie in one context.

    Attributes:
        first, last, single: (B, T); ``NOWHERE`` outside the chain.
    """

    first: Tensor
    last: Tensor
    single: Tensor


def span_scores(emissions: Tensor, transitions: Transitions, mask: Tensor) -> SpanScores:
    """Decompose the chain's scores.

    Args:
        emissions: (B, T, 3) float.
        transitions: the chain's parameters.
        mask: (B, T) bool, the positions of the chain.

    Raises:
        ModelError: the device is an Apple GPU, which has no float64.
    """
    if emissions.device.type == "mps":
        raise ModelError(
            "the head `crf` sums in float64, which Apple's GPUs do not have: use the CPU (--devices cpu), or another "
            "head"
        )
    outside_tag, begin_tag, inside_tag = emissions.double().movedim(2, 0).contiguous()
    between, start, end = transitions.between.double(), transitions.start.double(), transitions.end.double()
    steps = between - between[OUTSIDE, OUTSIDE]
    counts = mask.cumsum(1)
    is_first, is_last = mask & (counts == 1), counts == counts[:, -1:]

    begin = begin_tag - outside_tag + torch.where(is_first, start[BEGIN] - start[OUTSIDE], steps[OUTSIDE, BEGIN])
    inside = inside_tag - outside_tag + steps[INSIDE, INSIDE]
    inside = inside.masked_fill(opens_segment(mask), CROSSING).masked_fill(~mask, 0.0).cumsum(1)
    leave = torch.where(is_last, (end - end[OUTSIDE])[:, None, None], steps[:, OUTSIDE, None, None])  # from each tag
    return SpanScores(
        first=(begin - inside + (steps[BEGIN, INSIDE] - steps[INSIDE, INSIDE])).masked_fill(~mask, NOWHERE),
        last=(inside + leave[INSIDE]).masked_fill(~mask, NOWHERE),
        single=(begin + leave[BEGIN]).masked_fill(~mask, NOWHERE),
    )


def log_partition_of_spans(scores: SpanScores) -> Tensor:
    """Log of the sum of exp(score) over the path that is all O and every path with exactly one span: (B,) float64."""
    before = F.pad(scores.first.logcumsumexp(1)[:, :-1], (1, 0), value=NOWHERE)  # starts before each position
    nothing = torch.zeros_like(before[:, :1])
    return torch.cat([nothing, scores.single, scores.last + before], 1).logsumexp(1)


def score_of_spans(scores: SpanScores, first: Tensor, last: Tensor) -> Tensor:
    """(B,) float64: the scores of the spans [first..last], (B,) int64 each, **inclusive**; 0 where ``first`` is 0."""
    begin, end = first[:, None], last[:, None]
    longer = (scores.first.gather(1, begin) + scores.last.gather(1, end))[:, 0]
    score = torch.where(first == last, scores.single.gather(1, begin)[:, 0], longer)
    return torch.where(first > 0, score, 0.0)


def best_chain_spans(
    emissions: Tensor, transitions: Transitions, *, mask: Tensor, start_mask: Tensor, k: int, max_length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``k`` best single-span paths of each window, exactly, by their scores relative to the path that is all O.

    Args:
        emissions: (B, T, 3) float.
        transitions: the chain's parameters.
        mask: (B, T) bool, the positions of the chain.
        start_mask: (B, T) bool, where a span may start; within ``mask``.
        k: spans per window.
        max_length: longest span in tokens.

    Returns:
        first, last (B, k) int64, **inclusive**, and score (B, k) float32, as from ``best_spans``.

    Raises:
        ModelError: an emission in the chain is NaN or infinite, or a parameter is.
    """
    scores = span_scores(emissions, transitions, mask)
    # Not every broken number is in reach of an allowed span; this brings it into the score of every single token.
    broken = 0.0 * (scores.single.sum(1, keepdim=True) + scores.last.sum(1, keepdim=True))  # (B, 1), NaN or 0
    first, last, score = best_spans(
        scores.first,
        scores.last,
        start_mask=start_mask,
        end_mask=mask,
        k=k,
        max_length=max_length,
        single=scores.single + broken,
    )
    unused = score < CROSSING / 2
    return first.masked_fill_(unused, 0), last.masked_fill_(unused, 0), score.masked_fill_(unused, -torch.inf)


def spans_of_path(path: Tensor, start_mask: Tensor, *, limit: int) -> tuple[Tensor, Tensor]:
    """The spans of tag paths, (B, T) int64, that begin in ``start_mask`` and have at most ``limit`` positions.

    Returns:
        (B, T) bool, where one begins, and (B, T) int64, the last position, **inclusive**, of one that begins there.
    """
    place = torch.arange(path.shape[1], device=path.device)
    ends = (path > OUTSIDE) & (F.pad(path[:, 1:], (0, 1)) != INSIDE)
    last = torch.where(ends, place, path.shape[1]).flip(1).cummin(1).values.flip(1)
    begins = (path == BEGIN) & start_mask & (last - place < limit)
    return begins, torch.where(begins, last, 0)


def best_of(found: tuple[Tensor, Tensor], scores: SpanScores, *, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``k`` best-scored of the spans from :func:`spans_of_path`; as ``best_spans`` gives them."""
    begins, last = found
    place = torch.arange(begins.shape[1], device=begins.device).expand_as(last)
    longer = scores.first + scores.last.gather(1, last)
    score = torch.where(last == place, scores.single, longer).float().masked_fill(~begins, -torch.inf)
    best, first = score.topk(min(k, score.shape[1]), dim=1)
    unused = best == -torch.inf
    return first.masked_fill(unused, 0), last.gather(1, first).masked_fill(unused, 0), best


def chain_position_scores(scores: SpanScores, mask: Tensor, *, max_length: int) -> tuple[Tensor, Tensor]:
    """Log-odds that the only span starts, and that it ends, at each position, against no span: (B, T) float32 each.

    Sums over the spans of at most ``max_length`` tokens; -inf outside ``mask`` (B, T) bool.
    """
    start, end = scores.single, scores.single
    if max_length > 1:
        ends = _sum_ahead(scores.last, max_length - 1)
        starts = _sum_ahead(scores.first.flip(1), max_length - 1).flip(1)
        start = torch.logaddexp(start, scores.first + ends)
        end = torch.logaddexp(end, scores.last + starts)
    return start.float().masked_fill(~mask, -torch.inf), end.float().masked_fill(~mask, -torch.inf)


def _sum_ahead(values: Tensor, length: int) -> Tensor:
    """(B, T) logsumexp of the ``length`` values after each position, as far as there are."""
    return windowed_logsumexp(moved(values, 1, never=NOWHERE), length, never=NOWHERE)
