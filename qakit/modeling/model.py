"""The model: an encoder and a head, nothing between them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from qakit.data.batch import Batch
from qakit.modeling.attention import attention_of
from qakit.modeling.device import FULL_PRECISION_ONLY
from qakit.modeling.layers import Part, backbone_parts, layer_count
from qakit.modeling.unpadded import Unpadded, reads_unpadded
from qakit.protocols import Head, HeadOutput, PoolsLayers


class ReadingModel(nn.Module):
    """``batch -> backbone -> head``.

    Attributes:
        backbone: an encoder whose output has ``last_hidden_state`` (B, T, H).
        head: see :class:`qakit.protocols.Head`.
        attends_globally: whether some positions must be named that see all others, as in Longformer.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        # The launcher chose a precision before there was a model.
        self._full_precision = getattr(getattr(backbone, "config", None), "model_type", None) in FULL_PRECISION_ONLY
        self.attends_globally = any(
            "global_attention_mask" in inspect.signature(module.forward).parameters for module in backbone.modules()
        )

    def forward(self, batch: Batch) -> HeadOutput:
        """Loss and scores of one batch; in float32, whatever the caller's precision, where an encoder needs it."""
        if not self._full_precision:
            return self._scores(batch)
        with torch.autocast(batch.input_ids.device.type, enabled=False):
            return self._scores(batch)

    def _scores(self, batch: Batch) -> HeadOutput:
        if batch.padded and reads_unpadded(self.backbone) and (unpadded := Unpadded.of(batch)) is not None:
            unfolded: HeadOutput = self.head(self._hidden(unpadded.inputs, unpadded.padded), batch)
            return unfolded
        inputs = {"input_ids": batch.input_ids}
        if batch.padded or not self._does_without_mask():
            inputs["attention_mask"] = batch.attention_mask
        if batch.token_type_ids is not None:
            inputs["token_type_ids"] = batch.token_type_ids
        if self.attends_globally:
            inputs["global_attention_mask"] = question_mask(batch)
        output: HeadOutput = self.head(self._hidden(inputs), batch)
        return output

    def _does_without_mask(self) -> bool:
        """Whether a batch without padding may come without its mask.

        transformers would ask the device whether a mask hides anything, which waits for it, in every forward pass; and
        without a mask PyTorch may choose its fastest attention.
        """
        return attention_of(getattr(self.backbone, "config", None)) in ("sdpa", "flash_attention_2")

    def _hidden(
        self, inputs: dict[str, Any], padded: Callable[[torch.Tensor], torch.Tensor] = lambda hidden: hidden
    ) -> torch.Tensor:
        """(B, T, H): the last layer, or what the head makes of all layers. ``padded`` makes (B, T, H) of a layer."""
        head = self.head
        if isinstance(head, PoolsLayers) and head.pools:
            layers = self.backbone(**inputs, output_hidden_states=True).hidden_states
            return head.pool(tuple(map(padded, layers)))
        return padded(self.backbone(**inputs).last_hidden_state)

    @property
    def decoder(self) -> Head:
        """The head, by its protocol."""
        return self.head  # type: ignore[return-value]


def question_mask(batch: Batch) -> torch.Tensor:
    """(B, T) int64, 1 where every position should be seen from and see: what stands before the first context.

    For backbones that read the rest through a narrow window. A window without contexts has its first position alone.

    Source: Beltagy et al. 2020, "Longformer".
    """
    before = batch.context_mask.cumsum(1) == 0
    chosen = before & batch.context_mask.any(1, keepdim=True)
    chosen[:, 0] = True
    return (chosen & (batch.attention_mask > 0)).long()


def parameter_counts(model: ReadingModel) -> dict[str, dict[str, int]]:
    """Trainable and total parameters of ``backbone``, ``head`` and ``all``."""
    counts = {
        part: {
            "trainable": sum(p.numel() for p in module.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in module.parameters()),
        }
        for part, module in (("backbone", model.backbone), ("head", model.head))
    }
    counts["all"] = {kind: sum(part[kind] for part in counts.values()) for kind in ("trainable", "total")}
    return counts


def parameters_by_module(model: ReadingModel) -> list[dict[str, str | int]]:
    """Trainable and total parameters of the embeddings, of each encoder layer, of the rest of the backbone and of the
    head, in this order; each row has ``module``, ``trainable`` and ``total``."""
    parts = backbone_parts(model.backbone)
    order: list[Part] = ["embeddings", *range(layer_count(parts)), "other"]
    named = dict(model.backbone.named_parameters())
    held = {part_name(part): [named[name] for name, own in parts.items() if own == part] for part in order}
    held["head"] = list(model.head.parameters())
    return [
        {
            "module": module,
            "trainable": sum(each.numel() for each in parameters if each.requires_grad),
            "total": sum(each.numel() for each in parameters),
        }
        for module, parameters in held.items()
        if parameters
    ]


def part_name(part: Part) -> str:
    """As tables name a part of the backbone: ``embeddings``, ``layer 0``, ``rest of the backbone``."""
    return f"layer {part}" if isinstance(part, int) else {"embeddings": part, "other": "rest of the backbone"}[part]
