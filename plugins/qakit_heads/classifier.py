"""Classes or numbers for whole texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from qakit.api import Batch, Distributions, HeadOutput, HeadRuntime, LabelScores
from qakit_heads.features import FeatureHead, Features, apply_linear, fresh_linear

if TYPE_CHECKING:
    from qakit_heads import ClassifierSettings

UNLABELLED = -100
"""Target class of windows that take no part in the loss."""

BERT_NAMES = {
    "dense.weight": "bert.pooler.dense.weight",
    "dense.bias": "bert.pooler.dense.bias",
    "features.linear.weight": "classifier.weight",
    "features.linear.bias": "classifier.bias",
}
ROBERTA_NAMES = {
    "dense.weight": "classifier.dense.weight",
    "dense.bias": "classifier.dense.bias",
    "features.linear.weight": "classifier.out_proj.weight",
    "features.linear.bias": "classifier.out_proj.bias",
}
TRANSFORMERS_NAMES: Mapping[str, Mapping[str, str]] = {
    "bert": BERT_NAMES,
    "roberta": ROBERTA_NAMES,
    "xlm-roberta": ROBERTA_NAMES,
    "camembert": ROBERTA_NAMES,
}
"""By architecture: those whose own classifier computes the same, position 0 -> dense -> tanh -> linear."""


class Classifier(FeatureHead):
    """A linear layer over one vector for the whole text: cross-entropy over classes, or the squared error of a number.

    The vector is the hidden state of position 0 or the mean over all tokens, by default through a linear layer and
    tanh. Without class names (``HeadRuntime.labels``) it is a regression. Windows without a target take no part in the
    loss.

    Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers", section 4.1; Liu et al. 2019,
    "RoBERTa", for the linear layer and tanh as a part of the head.
    """

    reads: Literal["tokens", "sequence", "group"] = "sequence"
    gives: Literal["spans", "labels", "contexts"] = "labels"
    auto_class: str = "AutoModelForSequenceClassification"

    def __init__(self, settings: ClassifierSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.settings = settings
        self.labels = runtime.labels
        self.has_distributions = bool(runtime.labels)
        self.features = Features(settings, runtime, outputs=max(1, len(runtime.labels)))
        if settings.dense:
            self.dense = fresh_linear(runtime.hidden_size, runtime.hidden_size, std=runtime.initializer_range)
        same = settings.dense and settings.pooling == "cls"
        self.transformers_names: Mapping[str, str] = TRANSFORMERS_NAMES.get(runtime.architecture, {}) if same else {}
        self.config_updates: Mapping[str, Any] = _configuration(runtime.labels)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> ``logits`` (B, C) float32, and the loss if the batch has targets.

        C is the number of classes, 1 for regression. With several dropout samples the loss is the mean of theirs and
        the logits are the first one's; in eval mode there is only one.
        """
        with torch.autocast(hidden.device.type, enabled=False):
            text = self._text(hidden.float(), batch.attention_mask)
            if self.settings.dense:
                text = torch.tanh(apply_linear(self.dense, text))
        samples = self.features.logits(text)
        loss = None
        if batch.target_label is not None:
            with torch.autocast(hidden.device.type, enabled=False):
                loss = torch.stack([self._loss(logits, batch.target_label) for logits in samples]).mean()
        return HeadOutput(loss, {"logits": samples[0]})

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> LabelScores:  # noqa: ARG002 (the protocol's)
        """The logits as they are."""
        return LabelScores(scores["logits"].float())

    def distributions(self, scores: Mapping[str, Tensor], batch: Batch) -> list[Distributions]:
        """Over the classes, also of windows without a target; a regression has none."""
        logits = scores["logits"]
        possible = torch.ones_like(logits, dtype=torch.bool)
        return [Distributions(logits.log_softmax(1), possible, len(batch))] if self.labels else []

    def _text(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, H) one vector for each window."""
        if self.settings.pooling == "cls":
            return hidden[:, 0]
        real = attention_mask[..., None] == 1
        return hidden.masked_fill(~real, 0.0).sum(1) / real.sum(1)

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean over the windows with a target; 0 without any, so that a step without targets changes nothing."""
        known = ~target.isnan()
        if not self.labels:
            losses = F.mse_loss(logits[:, 0], target.nan_to_num(), reduction="none").masked_fill(~known, 0.0)
        else:
            classes = torch.where(known, target, UNLABELLED).long()
            losses = F.cross_entropy(
                logits,
                classes,
                ignore_index=UNLABELLED,
                label_smoothing=self.settings.label_smoothing,
                reduction="none",
            )
        return losses.sum() / known.sum().clamp(min=1)


def _configuration(labels: Sequence[str]) -> dict[str, Any]:
    """What transformers' classes need to know; a regression has one output."""
    names = dict(enumerate(labels or ("LABEL_0",)))
    return {
        "id2label": names,
        "label2id": {name: place for place, name in names.items()},
        "problem_type": "single_label_classification" if labels else "regression",
    }
