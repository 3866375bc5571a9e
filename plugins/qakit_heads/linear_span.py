"""Start and end scores from one linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qakit.api import Batch, HeadOutput, HeadRuntime, SpanCandidates, best_spans

if TYPE_CHECKING:
    from qakit_heads.settings import LinearSpanSettings


class LinearSpan(nn.Module):
    """The span head of BERT: a span's score is the start score of its first token plus the end score of its last.

    The loss is the mean of two cross-entropies over positions, first and last token. Only context tokens and position 0
    ("no answer") take part in it: question, special tokens and padding can never hold the answer, so no probability
    should be spent on them. The scores themselves stay as the layer gives them, and equal those of the transformers
    model with the same weights.

    Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers", section 4.2 and 4.3.
    """

    reads: Literal["tokens", "sequence", "group"] = "tokens"
    auto_class: str = "AutoModelForQuestionAnswering"

    def __init__(self, settings: LinearSpanSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.transformers_names: Mapping[str, str] = {
            "linear.weight": "qa_outputs.weight",
            "linear.bias": "qa_outputs.bias",
        }
        self.config_updates: Mapping[str, Any] = {"num_labels": 2}
        self.n_best = runtime.n_best
        self.max_answer_length = runtime.max_answer_length
        self.dropout = nn.Dropout(settings.dropout)
        self.linear = nn.Linear(runtime.hidden_size, 2)
        nn.init.normal_(self.linear.weight, std=runtime.initializer_range)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> ``start`` and ``end`` (B, T) float32, and the loss if the batch has targets."""
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = self.dropout(hidden.float())
            logits = F.linear(hidden, self.linear.weight.float(), self.linear.bias.float())  # (B, T, 2)
            start, end = logits[..., 0].contiguous(), logits[..., 1].contiguous()
            loss = None
            if batch.target_first is not None and batch.target_last is not None:
                possible = batch.context_mask.clone()
                possible[:, 0] = True  # windows without the answer aim at it, also where every question has an answer
                loss = (_loss(start, possible, batch.target_first) + _loss(end, possible, batch.target_last)) / 2
        return HeadOutput(loss, {"start": start, "end": end})

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The best spans of each window, exactly; "no answer" scores as the span of position 0."""
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


def _loss(scores: Tensor, possible: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy (float32) over the possible positions; the others get finite scores far below any other."""
    return F.cross_entropy(scores.masked_fill(~possible, torch.finfo(scores.dtype).min), target)
