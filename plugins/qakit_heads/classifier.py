"""Classes or numbers for whole texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from qakit.api import Batch, Distributions, HeadOutput, HeadRuntime, LabelScores, UsageError
from qakit_heads import ClassifierSettings
from qakit_heads.features import FeatureHead, Features, apply_linear, fresh_linear

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
    """A linear layer over one vector for the whole text: cross-entropy over classes, or the squared error of numbers.

    The vector is the hidden state of position 0 or the mean over all tokens, by default through a linear layer and
    tanh. Without class names (``HeadRuntime.labels``) it is a regression, of one number or of ``HeadRuntime.numbers``,
    by squared error or binary cross-entropy. Targets that are not known take no part in the loss.

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
        self.by_sigmoid = settings.loss == "binary_cross_entropy"
        if self.labels and self.by_sigmoid:
            raise UsageError(
                "loss: binary_cross_entropy is for numbers from 0 to 1, and the labels are classes: leave `loss` out "
                "of the head, or have the labels read as numbers (the table reader's label_type: number)"
            )
        self.number_range = (0.0, 1.0) if self.by_sigmoid else None
        self.has_distributions = bool(runtime.labels)
        self.features = Features(settings, runtime, outputs=len(runtime.labels or runtime.numbers) or 1)
        if settings.dense:
            self.dense = fresh_linear(runtime.hidden_size, runtime.hidden_size, std=runtime.initializer_range)
        same = settings.dense and settings.pooling == "cls"
        self.transformers_names: Mapping[str, str] = TRANSFORMERS_NAMES.get(runtime.architecture, {}) if same else {}
        self.config_updates: Mapping[str, Any] = _configuration(runtime, by_sigmoid=self.by_sigmoid)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> ``logits`` (B, C) float32, and the loss if the batch has targets.

        C is the number of classes, or of numbers. With several dropout samples the loss is the mean of theirs and the
        logits are the first one's; in eval mode there is only one.
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
        """The logits as they are, or numbers from 0 to 1 where the loss is their binary cross-entropy."""
        logits = scores["logits"].float()
        return LabelScores(logits.sigmoid() if self.by_sigmoid else logits)

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
        """Mean over the windows with a target; 0 without any, so that a step without targets changes nothing.

        Of K numbers of a window each counts as 1 / K, known or not: all examples of a column weigh the same.
        """
        known = ~target.isnan()
        if not self.labels:
            error = F.binary_cross_entropy_with_logits if self.by_sigmoid else F.mse_loss
            every = error(logits, target.nan_to_num().view_as(logits), reduction="none")
            known = known.view_as(logits)
            losses = every.masked_fill(~known, 0.0).mean(1)
            known = known.any(1)
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


def _configuration(runtime: HeadRuntime, *, by_sigmoid: bool) -> dict[str, Any]:
    """What transformers' classes need to know; a single number has no name."""
    names = dict(enumerate(runtime.labels or runtime.numbers or ("LABEL_0",)))
    numbers = "multi_label_classification" if by_sigmoid else "regression"
    return {
        "id2label": names,
        "label2id": {name: place for place, name in names.items()},
        "problem_type": "single_label_classification" if runtime.labels else numbers,
    }
