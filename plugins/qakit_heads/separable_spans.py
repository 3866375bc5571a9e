"""Spans whose score is a start score plus an end score: sums over all of them without listing any.

All spans lie within one context and within the length limit. ``NEVER`` stands for the score of what is impossible: it
is finite, so that no gradient becomes NaN, and so low that nothing of it is left in a sum of probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qakit.api import best_spans
from qakit_heads.band import along_ends
from qakit_heads.segments import segment_numbers, segment_stops, spans_from, spans_to

NEVER = -1e30


@dataclass(frozen=True, slots=True)
class SeparableSpans:
    """The possible spans of B windows.

    Attributes:
        start: (B, T) float32, scores of the first position.
        end: (B, T) float32, scores of the last position.
        context_mask: (B, T) bool.
        limit: longest span in positions, at most T.
    """

    start: Tensor
    end: Tensor
    context_mask: Tensor
    limit: int

    def at(self, first: Tensor, last: Tensor) -> Tensor:
        """(B,) scores of one span each, possible or not."""
        return pick(self.start, first) + pick(self.end, last)

    def log_starts(self) -> Tensor:
        """(B, T) logsumexp over the spans that start at each position; about ``NEVER`` outside the context."""
        stops = segment_stops(self.context_mask)
        reached = windowed_logsumexp(self._possible(self.end), stops, self.limit)
        return self._possible(self.start + reached)

    def log_ends(self) -> Tensor:
        """(B, T) logsumexp over the spans that end at each position; about ``NEVER`` outside the context."""
        stops = segment_stops(self.context_mask.flip(1))
        reached = windowed_logsumexp(self._possible(self.start).flip(1), stops, self.limit).flip(1)
        return self._possible(self.end + reached)

    def total(self) -> Tensor:
        """(B,) sum of the scores of all possible spans."""
        starts, ends = spans_from(self.context_mask, self.limit), spans_to(self.context_mask, self.limit)
        return (self.start * starts + self.end * ends).sum(1)

    def weighted(self, weights: Tensor) -> Tensor:
        """(B,) sum of scores times ``weights`` (B, T, L): by first position and length, L the limit; no gradient."""
        by_end = along_ends(weights).sum(2)
        return (self.start * weights.sum(2) + self.end * by_end).sum(1)

    def best(self, start_mask: Tensor, *, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """The ``k`` best possible spans that start within ``start_mask``: see :func:`qakit.api.best_spans`."""
        numbers = segment_numbers(self.context_mask)
        found = [
            best_spans(
                self.start,
                self.end,
                start_mask=start_mask & (numbers == number),
                end_mask=numbers == number,
                k=k,
                max_length=self.limit,
            )
            for number in range(1, max(1, int(numbers.max())) + 1)
        ]
        if len(found) == 1:
            return found[0]
        # No span may go from one context into the next, so each is searched by itself.
        first, last, score = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        score, place = score.topk(k, dim=1)
        return first.gather(1, place), last.gather(1, place), score

    def _possible(self, scores: Tensor) -> Tensor:
        return scores.masked_fill(~self.context_mask, NEVER)


def windowed_logsumexp(values: Tensor, stops: Tensor, length: int) -> Tensor:
    """(B, T) logsumexp of ``values[i : min(i + length, stops[i])]`` at each i: exact, in O(log length) steps.

    Runs of 1, 2, 4 ... values are summed by doubling; the binary digits of ``length`` say which of them together make
    one run of that length. No value is subtracted again, so no precision is lost.

    Args:
        values: (B, T) float32, finite.
        stops: (B, T) int64, at least i at each position i.
        length: in positions, at least 1.
    """
    position = torch.arange(values.shape[1], device=values.device)

    def moved(sums: Tensor, by: int) -> Tensor:
        by = min(by, sums.shape[1])
        return F.pad(sums[:, by:], (0, by), value=NEVER).masked_fill(position + by >= stops, NEVER)

    run, width = values, 1
    covered, result = 0, None
    while True:
        if length & width:
            result = run if result is None else torch.logaddexp(result, moved(run, covered))
            covered += width
        if 2 * width > length:
            assert result is not None  # the highest digit is 1
            return result
        run = torch.logaddexp(run, moved(run, width))
        width *= 2


def pick(values: Tensor, at: Tensor) -> Tensor:
    """``values[b, at[b]]`` for each b, (B,)."""
    return values.gather(1, at[:, None]).squeeze(1)
