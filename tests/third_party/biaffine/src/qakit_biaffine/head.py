"""The head; torch is imported when a recipe uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from qakit.api import Batch, HeadOutput, HeadRuntime, Reads, SpanCandidates

if TYPE_CHECKING:
    from qakit_biaffine import BiaffineSettings


class BiaffineSpan(nn.Module):
    """One softmax over all spans of a window and "no answer", which is the pair of position 0 with itself."""

    reads: Reads = "tokens"

    def __init__(self, settings: BiaffineSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.start = nn.Linear(runtime.hidden_size, settings.width)
        self.end = nn.Linear(runtime.hidden_size, settings.width)
        self.pair = nn.Parameter(torch.empty(settings.width + 1, settings.width + 1))
        for weight in (self.start.weight, self.end.weight, self.pair):
            nn.init.normal_(weight, std=runtime.initializer_range)
        self.dropout = nn.Dropout(settings.dropout)
        self.n_best, self.longest = runtime.n_best, runtime.max_answer_length

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> score ``span`` (B, T, T) float32: from each start to each end."""
        hidden = self.dropout(hidden)
        ends = [self.dropout(functional.gelu(layer(hidden))) for layer in (self.start, self.end)]
        loss = None
        with torch.autocast(hidden.device.type, enabled=False):
            start, end = (functional.pad(each.float(), (0, 1), value=1.0) for each in ends)  # a 1 beside: biases
            span = start @ self.pair @ end.transpose(1, 2)
            if batch.target_first is not None and batch.target_last is not None:
                allowed = _spans(batch, batch.context_mask)
                allowed[:, 0, 0] = True  # "no answer"
                target = batch.target_first * span.shape[2] + batch.target_last
                loss = functional.cross_entropy(span.masked_fill(~allowed, -torch.inf).flatten(1), target)
        return HeadOutput(loss, {"span": span})

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The best spans of each window, exactly."""
        span = scores["span"]
        width = span.shape[2]
        allowed = _spans(batch, batch.start_mask).tril(self.longest - 1)
        best, place = span.masked_fill(~allowed, -torch.inf).flatten(1).topk(min(self.n_best, width * width))
        return SpanCandidates(place // width, place % width, best, null=span[:, 0, 0])


def _spans(batch: Batch, starts: Tensor) -> Tensor:
    """(B, T, T) bool: the spans within one context that begin at one of ``starts`` (B, T)."""
    same = batch.segment_number[:, :, None] == batch.segment_number[:, None]
    return (same & starts[:, :, None] & batch.context_mask[:, None]).triu()
