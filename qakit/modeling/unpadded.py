"""A batch's windows one behind the other, without padding, for encoders whose attention is told where each begins.

transformers' ModernBERT computes all its layers on such a row, each of them as it does on padded windows; of a padded
batch it would leave out the padding in the attention alone, ask the device for the lengths in each layer, and wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import ModernBertModel

from qakit.data.batch import Batch, sent


def reads_unpadded(backbone: nn.Module) -> bool:
    """Whether it is such an encoder. Within an adapter that puts tokens of its own before the windows it is none."""
    return (
        isinstance(backbone, ModernBertModel)
        and getattr(backbone.config, "_attn_implementation", None) == "flash_attention_2"
    )


@dataclass(frozen=True, slots=True)
class Unpadded:
    """B windows of N tokens together.

    Attributes:
        inputs: what the encoder is called with: token ids and positions (1, N), where each window begins in the row.
        place: (N,) int64, each token's place in the batch, counted along its (B, T) positions.
        shape: B and T.
    """

    inputs: dict[str, Any]
    place: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, batch: Batch) -> Unpadded | None:
        """None for a batch of which nobody has said how long its windows are."""
        if batch.lengths is None:
            return None
        size, width = batch.input_ids.shape
        device, lengths = batch.input_ids.device, batch.lengths
        real = np.flatnonzero(np.arange(width) < lengths[:, None])
        begins = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
        place, position, limits = (sent(torch.from_numpy(each), device) for each in (real, real % width, begins))
        longest = int(lengths.max())
        inputs = {
            "input_ids": batch.input_ids.flatten()[place][None],
            "position_ids": position[None],
            "cu_seq_lens_q": limits,
            "cu_seq_lens_k": limits,
            "max_length_q": longest,
            "max_length_k": longest,
        }
        return cls(inputs, place, (size, width))

    def padded(self, hidden: Tensor) -> Tensor:
        """(1, N, H) -> (B, T, H), zeros in padding."""
        size, width = self.shape
        empty = hidden.new_zeros(size * width, hidden.shape[2])
        return empty.index_copy(0, self.place, hidden[0]).view(size, width, -1)
