"""The encoder; torch is imported when a recipe uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from qakit.api import BackboneOutput, BackboneRuntime

if TYPE_CHECKING:
    from qakit_bilstm import BiLstmSettings


class BiLstm(nn.Module):
    """Embeddings, dropout, and LSTMs that read each window in both directions."""

    def __init__(self, settings: BiLstmSettings, runtime: BackboneRuntime) -> None:
        super().__init__()
        self.hidden_size = 2 * settings.width
        self.embeddings = nn.Embedding(runtime.vocabulary, settings.embedding, padding_idx=runtime.padding)
        sizes = [settings.embedding, *[self.hidden_size] * (settings.layers - 1)]
        # In a list of modules qakit recognises the layers: for the adapter freeze, and for rates by layer.
        self.layers = nn.ModuleList(
            nn.LSTM(size, settings.width, batch_first=True, bidirectional=True) for size in sizes
        )
        self.dropout = nn.Dropout(settings.dropout)

    def get_input_embeddings(self) -> nn.Embedding:
        """What `train.adversarial` with fgm moves."""
        return self.embeddings

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> BackboneOutput:
        """``input_ids`` and ``attention_mask`` (B, T) -> (B, T, H)."""
        lengths = attention_mask.sum(dim=1).cpu()
        hidden: Tensor = self.embeddings(input_ids)  # (B, T, E)
        for layer in self.layers:
            # Packed: the direction that reads backwards begins at the last token, not in the padding.
            packed = pack_padded_sequence(self.dropout(hidden), lengths, batch_first=True, enforce_sorted=False)
            with torch.autocast(hidden.device.type, enabled=False):  # not every CPU has LSTMs in bfloat16
                read = layer(packed)[0]
            hidden = pad_packed_sequence(read, batch_first=True, total_length=input_ids.shape[1])[0]
        return BackboneOutput(hidden)
