"""A head for classes and numbers, with a hidden layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from qakit.api import Batch, Gives, HeadOutput, HeadRuntime, LabelScores, Reads

if TYPE_CHECKING:
    from qakit_example import MlpSettings


class MlpLabel(nn.Module):
    """Class scores, or a number where the run has no classes, from the first position ([CLS])."""

    reads: Reads = "sequence"
    gives: Gives = "labels"

    def __init__(self, settings: MlpSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.classes = len(runtime.labels)
        self.dropout = nn.Dropout(settings.dropout)
        self.hidden = nn.Linear(runtime.hidden_size, settings.width)
        self.output = nn.Linear(settings.width, self.classes or 1)
        for linear in (self.hidden, self.output):
            nn.init.normal_(linear.weight, std=runtime.initializer_range)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> score ``logits`` (B, C) float32; C is 1 for a number."""
        logits = self.output(functional.gelu(self.hidden(self.dropout(hidden[:, 0])))).float()
        loss = None
        if batch.target_label is not None:
            if self.classes:
                loss = functional.cross_entropy(logits, batch.target_label.long())
            else:
                loss = functional.mse_loss(logits[:, 0], batch.target_label)
        return HeadOutput(loss, {"logits": logits})

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> LabelScores:
        """Each window's logits, or its number."""
        return LabelScores(scores["logits"])
