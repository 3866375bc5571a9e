"""All spans of a window and their scores: sums of a start and an end score, or with a term for both together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from qakit.api import BROKEN_SCORES, ModelError, best_spans
from qakit_heads.band import along_ends, at_ends, band_products, possible_spans
from qakit_heads.segments import segment_numbers, segment_stops, spans_from, spans_to
from qakit_heads.windowed import NEVER, windowed_logsumexp


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
        reached = windowed_logsumexp(self._possible(self.end), self.limit, stops=stops)
        return self._possible(self.start + reached)

    def log_ends(self) -> Tensor:
        """(B, T) logsumexp over the spans that end at each position; about ``NEVER`` outside the context."""
        stops = segment_stops(self.context_mask.flip(1))
        reached = windowed_logsumexp(self._possible(self.start).flip(1), self.limit, stops=stops).flip(1)
        return self._possible(self.end + reached)

    def total(self) -> Tensor:
        """(B,) sum of the scores of all possible spans."""
        starts, ends = spans_from(self.context_mask, self.limit), spans_to(self.context_mask, self.limit)
        return (self.start * starts + self.end * ends).sum(1)

    def weighted(self, weights: Tensor) -> Tensor:
        """(B,) sum of scores times ``weights`` (B, T, L): by first position and length, L the limit; no gradient."""
        by_end = along_ends(weights).sum(2)
        return (self.start * weights.sum(2) + self.end * by_end).sum(1)

    def every(self) -> tuple[Tensor, Tensor]:
        """(B, T, L) scores of all spans by first position and length, and which are possible; L is the limit."""
        possible = possible_spans(self.context_mask, self.limit)
        return self.start[:, :, None] + at_ends(self.end, self.limit, fill=0.0), possible

    def best(self, start_mask: Tensor, *, k: int, segments: int) -> tuple[Tensor, Tensor, Tensor]:
        """The ``k`` best possible spans that start within ``start_mask``: see :func:`qakit.api.best_spans`.

        ``segments``: how many contexts a window has at most.
        """
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
            for number in range(1, segments + 1)
        ]
        if len(found) == 1:
            return found[0]
        # No span may go from one context into the next, so each is searched by itself.
        first, last, score = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        score, place = score.topk(k, dim=1)
        return first.gather(1, place), last.gather(1, place), score

    def _possible(self, scores: Tensor) -> Tensor:
        return scores.masked_fill(~self.context_mask, NEVER)


def pick(values: Tensor, at: Tensor) -> Tensor:
    """``values[b, at[b]]`` for each b, (B,)."""
    return values.gather(1, at[:, None]).squeeze(1)


@dataclass(frozen=True, slots=True)
class InteractingSpans:
    """The possible spans of B windows; what :class:`SeparableSpans` offers, from scores of every span.

    Attributes:
        start: (B, T) float32, scores of the first position.
        end: (B, T) float32, scores of the last position.
        left: (B, T, R) float32, what the first position contributes to the common term.
        right: (B, T, R) float32, what the last position contributes.
        possible: (B, T, L) bool, L the longest span in positions.
        band: (B, T, L) float32, score of the span of l + 1 positions from position t; ``NEVER`` if it is impossible.
    """

    start: Tensor
    end: Tensor
    left: Tensor
    right: Tensor
    possible: Tensor
    band: Tensor

    @staticmethod
    def of(
        start: Tensor, end: Tensor, left: Tensor, right: Tensor, *, context_mask: Tensor, limit: int
    ) -> InteractingSpans:
        """Score the band; ``limit`` (at most T) is the longest span in positions."""
        possible = possible_spans(context_mask, limit)
        together = band_products(left, right, limit) / math.sqrt(left.shape[2])
        band = start[:, :, None] + at_ends(end, limit, fill=0.0) + together
        return InteractingSpans(start, end, left, right, possible, band.masked_fill(~possible, NEVER))

    def at(self, first: Tensor, last: Tensor) -> Tensor:
        """(B,) scores of one span each, possible or not."""
        row = torch.arange(len(first), device=first.device)
        together = (self.left[row, first] * self.right[row, last]).sum(1) / math.sqrt(self.left.shape[2])
        return pick(self.start, first) + pick(self.end, last) + together

    def log_starts(self) -> Tensor:
        """(B, T) logsumexp over the spans that start at each position; about ``NEVER`` outside the context."""
        return self.band.logsumexp(2)

    def log_ends(self) -> Tensor:
        """(B, T) logsumexp over the spans that end at each position, without a gradient."""
        return along_ends(self.band, fill=NEVER).logsumexp(2)

    def total(self) -> Tensor:
        """(B,) sum of the scores of all possible spans."""
        return self.band.masked_fill(~self.possible, 0.0).sum((1, 2))

    def weighted(self, weights: Tensor) -> Tensor:
        """(B,) sum of scores times ``weights`` (B, T, L), which get no gradient and are 0 for what is impossible."""
        return (self.band.masked_fill(~self.possible, 0.0) * weights).sum((1, 2))

    def every(self) -> tuple[Tensor, Tensor]:
        """(B, T, L) scores of all spans by first position and length, and which are possible; L is the limit."""
        return self.band, self.possible

    def best(self, start_mask: Tensor, *, k: int, segments: int) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        """As :meth:`SeparableSpans.best`."""
        limit = self.band.shape[2]
        flat = self.band.masked_fill(~(self.possible & start_mask[:, :, None]), -torch.inf).flatten(1)
        score, place = flat.topk(min(k, flat.shape[1]), dim=1)
        if score.device.type == "cpu" and not bool((score[:, 0] < torch.inf).all()):  # NaN ranks above all numbers
            raise ModelError(BROKEN_SCORES)
        first = place // limit
        last = first + place % limit
        unused = score == -torch.inf
        missing = (0, k - score.shape[1])
        first, last = (torch.nn.functional.pad(at.masked_fill(unused, 0), missing) for at in (first, last))
        return first, last, torch.nn.functional.pad(score, missing, value=-torch.inf)
