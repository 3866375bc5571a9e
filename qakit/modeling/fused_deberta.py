"""DeBERTa's attention as one kernel, of the package ``flashdeberta``: the same modules and weights, another forward.

transformers computes it step by step and keeps three matrices of T x T scores for each head. The kernel, in Triton, has
neither the scores nor the looked-up places in memory at once. It has no dropout of attention probabilities: in training
``attention_probs_dropout_prob`` does nothing.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

from qakit.errors import UsageError
from qakit.names import one_line

KERNEL = "flashdeberta.ops.flash_attention"
INSTALL = "pip install 'qakit[flash-deberta]'"


def kernel() -> Any:
    """The package's function.

    Raises:
        UsageError: it is not installed, or does not have it.
    """
    try:
        return import_module(KERNEL).flash_attention_with_disentangled
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise UsageError(
            f"train.attention: flash_deberta needs the package {package!r}: {INSTALL}, or set it to auto"
        ) from None
    except Exception as error:  # whatever another version of it, or of Triton, comes up with
        raise UsageError(
            f"train.attention: flash_deberta: the package flashdeberta cannot be used ({one_line(error)})"
        ) from error


def fuse(model: nn.Module) -> None:
    """Let every attention of a model of transformers' DeBERTa v2 compute with the kernel.

    Raises:
        UsageError: the kernel is not there.
    """
    kernel()
    for part in model.modules():
        if type(part) is DisentangledSelfAttention:
            part.__class__ = FusedAttention


class FusedAttention(DisentangledSelfAttention):
    """transformers' module, computed by the kernel. Padding stands on the right, as everywhere in qakit."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor,
        output_attentions: bool = False,
        query_states: Tensor | None = None,
        relative_pos: Tensor | None = None,  # noqa: ARG002 - the kernel counts them itself
        rel_embeddings: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """(B, T, H) -> (B, T, H), zeros in padding; ``attention_mask`` (B, 1, T, T), 1 where both are no padding."""
        if output_attentions:
            raise NotImplementedError("the fused kernel has no matrix of attention probabilities to give")
        query = self._heads(self.query_proj(hidden_states if query_states is None else query_states))
        key, value = self._heads(self.key_proj(hidden_states)), self._heads(self.value_proj(hidden_states))
        kinds = [kind for kind in ("c2p", "p2c") if kind in self.pos_att_type]
        to_key = to_query = None
        if self.relative_attention and rel_embeddings is not None:
            places = self.pos_dropout(rel_embeddings)[: 2 * self.pos_ebd_size].unsqueeze(0)
            if "c2p" in kinds:
                to_key = self._heads((self.key_proj if self.share_att_key else self.pos_key_proj)(places))
            if "p2c" in kinds:
                to_query = self._heads((self.query_proj if self.share_att_key else self.pos_query_proj)(places))
        found: Tensor = kernel()(
            query,
            key,
            value,
            attention_mask[:, 0, 0].sum(-1).to(torch.int32),
            to_key,
            to_query,
            False,  # causal
            1 / math.sqrt(self.attention_head_size * (1 + len(kinds))),
            self.position_buckets,
            self.max_relative_positions,
        )
        return found.transpose(1, 2).flatten(2), None

    def _heads(self, states: Tensor) -> Tensor:
        """(B, T, A D) -> (B, A, T, D)"""
        return states.view(*states.shape[:2], self.num_attention_heads, -1).transpose(1, 2).contiguous()
