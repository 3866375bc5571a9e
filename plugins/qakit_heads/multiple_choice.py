"""Which context holds the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from qakit.api import Batch, ContextScores, Distributions, HeadOutput, HeadRuntime
from qakit_heads import MultipleChoiceSettings
from qakit_heads.features import FeatureHead, Features
from qakit_heads.grouped import context_loss, over_contexts


class MultipleChoice(FeatureHead):
    """One logit for each window; a softmax over the contexts of an example, as many as it has.

    A context in several windows counts by the best of them.

    Source: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", figure 1 (multiple
    choice), which transformers' ``*ForMultipleChoice`` follow.
    """

    reads: Literal["tokens", "sequence", "group"] = "group"
    gives: Literal["spans", "labels", "contexts"] = "contexts"
    auto_class: str = "AutoModelForMultipleChoice"
    has_distributions: bool = True

    def __init__(self, settings: MultipleChoiceSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.transformers_names: Mapping[str, str] = {
            "features.linear.weight": "classifier.weight",
            "features.linear.bias": "classifier.bias",
        }
        self.config_updates: Mapping[str, Any] = {}
        self.pooling = settings.pooling
        self.features = Features(settings, runtime, outputs=1)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> ``logit`` (B,) float32, and the loss if the batch has targets."""
        if self.pooling == "mean":
            mask = batch.attention_mask[..., None].float()
            read = (hidden.float() * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        else:
            read = hidden[:, :1].float()
        samples = [logits[:, 0] for logits in self.features.logits(read)]  # (B, 1) each
        loss = None
        if batch.target_segment is not None:
            loss = torch.stack([context_loss(logits, batch) for logits in samples]).mean()
        return HeadOutput(loss, {"logit": samples[0][:, 0]})

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> ContextScores:  # noqa: ARG002
        """Each window's logit."""
        return ContextScores(scores["logit"])

    def distributions(self, scores: Mapping[str, Tensor], batch: Batch) -> list[Distributions]:
        """Over the contexts of each example."""
        return [over_contexts(scores["logit"][:, None], batch)]
