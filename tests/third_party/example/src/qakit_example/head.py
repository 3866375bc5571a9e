"""A span head with a hidden layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from qakit.api import Batch, HeadOutput, HeadRuntime, Reads, SpanCandidates, best_spans

if TYPE_CHECKING:
    from qakit_example import MlpSettings


class MlpSpan(nn.Module):
    """Start and end scores from a hidden layer; position 0 stands for "no answer"."""

    reads: Reads = "tokens"

    def __init__(self, settings: MlpSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.dropout = nn.Dropout(settings.dropout)
        self.hidden = nn.Linear(runtime.hidden_size, settings.width)
        self.output = nn.Linear(settings.width, 2)
        for linear in (self.hidden, self.output):
            nn.init.normal_(linear.weight, std=runtime.initializer_range)
            nn.init.zeros_(linear.bias)
        self.n_best = runtime.n_best
        self.max_answer_length = runtime.max_answer_length

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> scores ``start`` and ``end``, each (B, T) float32."""
        inner = functional.gelu(self.hidden(self.dropout(hidden)))
        start, end = self.output(inner).float().unbind(dim=-1)
        loss = None
        if batch.target_first is not None and batch.target_last is not None:
            allowed = batch.context_mask.clone()
            allowed[:, 0] = True  # "no answer"
            loss = (_loss(start, allowed, batch.target_first) + _loss(end, allowed, batch.target_last)) / 2
        return HeadOutput(loss, {"start": start, "end": end})

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The best spans of each window: start score + end score."""
        start, end = scores["start"], scores["end"]
        first, last, score = best_spans(
            start,
            end,
            start_mask=batch.start_mask,
            end_mask=batch.context_mask,
            k=self.n_best,
            max_length=self.max_answer_length,
        )
        return SpanCandidates(first, last, score, null=start[:, 0] + end[:, 0])


def _loss(scores: Tensor, allowed: Tensor, target: Tensor) -> Tensor:
    """Cross entropy over the allowed positions; ``scores`` and ``allowed`` (B, T), ``target`` (B,)."""
    return functional.cross_entropy(scores.masked_fill(~allowed, -torch.inf), target)
