"""The reader of DrQA, for training without pretrained weights.

Source: Chen, Fisch, Weston and Bordes 2017, "Reading Wikipedia to Answer Open-Domain Questions" (arXiv:1704.00051),
section 3.2: exact match, aligned question embedding, BiLSTMs, bilinear terms with a summary of the question. Unlike
there, the embeddings are learnt, a match has the length of its run (a single Chinese character matches by chance), and
one LSTM reads question and context, one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qakit.api import BackboneOutput, BackboneRuntime, UsageError

if TYPE_CHECKING:
    from qakit_backbones import DrqaSettings

MATCH_SIZE = 16
"""Of the embedding of a match's length."""


class Drqa(nn.Module):
    """H is four times the width: each token's state, and its product with the question's summary.

    A linear head over that product is the bilinear form that DrQA scores with.
    """

    def __init__(self, settings: DrqaSettings, runtime: BackboneRuntime) -> None:
        super().__init__()
        both = 2 * settings.width
        self.hidden_size = 2 * both
        self.longest_match = settings.longest_match
        self.embeddings = nn.Embedding(runtime.vocabulary, settings.embedding, padding_idx=runtime.padding)
        self.matches = nn.Embedding(2 * (settings.longest_match + 1), MATCH_SIZE)
        self.alignment = nn.Linear(settings.embedding, settings.embedding)
        sizes = [2 * settings.embedding + MATCH_SIZE, *[both] * (settings.layers - 1)]
        self.layers = nn.ModuleList(BiLstm(size, settings.width) for size in sizes)
        self.importance = nn.Linear(both, 1)
        self.bilinear = nn.Linear(both, both)
        self.dropout = nn.Dropout(settings.dropout)

    def get_input_embeddings(self) -> nn.Embedding:
        """What ``train.adversarial`` with ``fgm`` moves."""
        return self.embeddings

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> BackboneOutput:
        """(B, T) each -> (B, T, H).

        Raises:
            UsageError: the tokenizer does not tell question and context apart.
        """
        if token_type_ids is None:
            raise UsageError(
                "the backbone drqa needs a tokenizer that tells question and context apart (token_type_ids, as BERT's "
                "do): name another as backbone.tokenizer"
            )
        asks = attention_mask.bool() & (token_type_ids == 0)  # the question comes first
        asks = asks[:, : int(asks.sum(dim=1).max())]  # (B, Q)
        embedded = self.dropout(self.embeddings(input_ids))  # (B, T, E)
        found = match_lengths(input_ids, asks, self.longest_match) + (self.longest_match + 1) * token_type_ids
        hidden = torch.cat([embedded, self._aligned(embedded, asks), self.matches(found)], dim=-1)
        order = backwards(attention_mask)
        for layer in self.layers:
            hidden = self.dropout(layer(hidden, order))
        question = hidden[:, : asks.shape[1]]
        summary = weighted(self.importance(question).transpose(1, 2), question, asks)  # (B, 1, 2W)
        return BackboneOutput(torch.cat([hidden, hidden * self.bilinear(summary)], dim=-1))

    def _aligned(self, embedded: Tensor, asks: Tensor) -> Tensor:
        """(B, T, E) of each token the question's embeddings, the more of each the more the two are alike."""
        compared = torch.relu(self.alignment(embedded))
        question = asks.shape[1]
        return weighted(compared @ compared[:, :question].transpose(1, 2), embedded[:, :question], asks)


class BiLstm(nn.Module):
    """LSTMs in both directions over windows of any lengths.

    torch has one, but on a CPU it takes a packed sequence of several lengths step by step, about ten times as slowly.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.onwards = nn.LSTM(size, width, batch_first=True)
        self.backwards = nn.LSTM(size, width, batch_first=True)

    def forward(self, hidden: Tensor, order: Tensor) -> Tensor:
        """``hidden`` (B, T, S), ``order`` of :func:`backwards` -> (B, T, 2W) float32, also under autocast.

        In bfloat16 not every CPU has these LSTMs.
        """
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float()
            read = self.backwards(reordered(hidden, order))[0]
            return torch.cat([self.onwards(hidden)[0], reordered(read, order)], dim=-1)


def backwards(attention_mask: Tensor) -> Tensor:
    """(B, T) int64: the places of each window's tokens from the last to the first, then of its padding."""
    places = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    lengths = attention_mask.sum(dim=1, keepdim=True)
    return torch.where(places < lengths, lengths - 1 - places, places)


def reordered(hidden: Tensor, order: Tensor) -> Tensor:
    """The vectors of (B, T, H) at the places (B, T)."""
    return hidden.gather(1, order[..., None].expand(-1, -1, hidden.shape[-1]))


def weighted(scores: Tensor, vectors: Tensor, real: Tensor) -> Tensor:
    """The mean of ``vectors`` (B, Q, E) by the softmax of ``scores`` (B, N, Q) where ``real`` (B, Q): (B, N, E)."""
    weights = scores.float().masked_fill(~real[:, None], torch.finfo(torch.float32).min).softmax(dim=-1)
    return weights.to(vectors.dtype) @ vectors


def match_lengths(ids: Tensor, asks: Tensor, longest: int) -> Tensor:
    """(B, T) int64, 0 to ``longest``: how many tokens the longest run has that holds this token and stands in the
    question, too.

    Args:
        ids: (B, T) int64.
        asks: (B, Q) whether a token is the question's; Q <= T.
        longest: longer runs count as this.
    """
    same = ((ids[:, :, None] == ids[:, None, : asks.shape[1]]) & asks[:, None]).to(torch.int8)
    before = after = same  # (B, T, Q) equal tokens that end here, and that begin here
    for _ in range(longest - 1):
        before = same * (1 + F.pad(before[:, :-1, :-1], (1, 0, 1, 0)))
        after = same * (1 + F.pad(after[:, 1:, 1:], (0, 1, 0, 1)))
    return (before + after - same).amax(dim=2).clamp(max=longest).long()
