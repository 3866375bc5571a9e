"""Recurring span selection: a span is hidden everywhere but once, and the model points to where it stayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qakit.data.arrays import Int64
from qakit.data.batch import Batch
from qakit.pretraining.language_head import mean_by_window
from qakit.pretraining.recurring import Recurring
from qakit.protocols import HeadOutput
from qakit.randomness import uniform


@dataclass(frozen=True, slots=True)
class SpanBatch(Batch):
    """A batch with questions about spans. Its bookkeeping of tokens is that of the texts as they were.

    Attributes:
        questions: (Q, 4) int64: row, input position of the hidden span's token, and the first and the last position of
            where the span stayed.
    """

    questions: Tensor | None = None


@dataclass(frozen=True, slots=True)
class HideSpans:
    """Hides recurring spans, drawn anew in each epoch, until the rate is reached: one token for each hidden one.

    Source: Ram et al. 2021, "Few-Shot Question Answering by Pretraining Span Selection" (Splinter). There the token is
    a new one, [QUESTION]; here it is that one where the vocabulary has it, else the mask token.
    """

    spans: Sequence[Sequence[Recurring]]
    """Those of each window, at least one."""
    rate: float
    question: int
    """The id of the token that takes a hidden span's place."""
    pad: int
    """The padding token's id."""
    seed: int

    def __call__(self, batch: Batch, keys: Int64, *, epoch: int) -> SpanBatch:
        """The batch with spans hidden; ``keys`` (B,) are the addresses of its windows."""
        held = {field.name: getattr(batch, field.name) for field in fields(Batch)}
        ids, mask = batch.input_ids.numpy().copy(), batch.attention_mask.numpy().copy()
        questions = []
        for row, key in enumerate(keys):
            text = np.flatnonzero(batch.token[row] >= 0)
            before, after = int(text[0]), int(text[-1]) + 1
            length = int(batch.attention_mask[row].sum())
            shown, asked = self._hide(int(batch.window[row]), batch.input_ids[row, text].tolist(), key, epoch)
            line = [*ids[row, :before].tolist(), *shown, *ids[row, after:length].tolist()]
            ids[row, : len(line)], ids[row, len(line) :] = line, self.pad
            mask[row, len(line) :] = 0
            questions += [(row, *(before + place for place in places)) for places in asked]
        held |= {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        return SpanBatch(**held, questions=torch.tensor(questions, dtype=torch.int64).reshape(-1, 4))

    def _hide(
        self, window: int, ids: list[int], key: Int64, epoch: int
    ) -> tuple[list[int], list[tuple[int, int, int]]]:
        """A text with spans hidden, and for each hidden one its place and the first and last place of the answer."""
        spans = self.spans[window]
        number = np.arange(len(spans))
        order = np.argsort(uniform(self.seed, epoch, key + number, stream="spans to hide"), kind="stable").tolist()
        stays = uniform(self.seed, epoch, key + number, stream="span that stays")
        left = max(1, round(self.rate * len(ids)))
        hidden: dict[int, int] = {}  # start of a hidden span -> its number
        kept: dict[int, int] = {}  # number of a span -> where it stays
        for i in order:
            cost = spans[i].length * (len(spans[i].starts) - 1)
            if cost <= left or not kept:
                left -= cost
                kept[i] = spans[i].starts[int(stays[i] * len(spans[i].starts))]
                hidden |= {start: i for start in spans[i].starts if start != kept[i]}
        shown: list[int] = []
        moved: dict[int, int] = {}  # place in the old text -> in the new one
        asked = []
        place = 0
        while place < len(ids):
            moved[place] = len(shown)
            if place in hidden:
                asked.append((len(shown), hidden[place]))
                shown.append(self.question)
                place += spans[hidden[place]].length
            else:
                shown.append(ids[place])
                place += 1
        first = {i: moved[start] for i, start in kept.items()}
        return shown, [(at, first[i], first[i] + spans[i].length - 1) for at, i in asked]


class SpanSelectionHead(nn.Module):
    """Question-aware span selection: each hidden span's token asks all positions where it starts and where it ends.

    The loss of a window is the mean over its questions, and each window counts alike.

    Source: Ram et al. 2021 (Splinter), section 4.
    """

    def __init__(self, hidden_size: int, *, initializer_range: float, epsilon: float) -> None:
        super().__init__()
        self.ask_start, self.ask_end, self.start, self.end = (
            nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.LayerNorm(hidden_size, eps=epsilon))
            for _ in range(4)
        )
        self.match_start, self.match_end = (nn.Linear(hidden_size, hidden_size, bias=False) for _ in range(2))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=initializer_range)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def scores(self, hidden: Tensor, row: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """``hidden`` (B, T, H); ``row``, ascending, and ``position`` (Q,) of the questions -> two (Q, T) float32."""
        asking = hidden[row, position]  # (Q, H)
        number = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)  # (Q,) within the row
        most = int(number.max()) + 1 if len(row) else 0
        start = _matches(self.match_start(self.ask_start(asking)), self.start(hidden), row, number, most)
        end = _matches(self.match_end(self.ask_end(asking)), self.end(hidden), row, number, most)
        return start.float(), end.float()

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """The loss of a batch; ``hidden`` (B, T, H) float."""
        assert isinstance(batch, SpanBatch)
        assert batch.questions is not None
        row, position, first, last = batch.questions.t().contiguous()
        padding = batch.attention_mask[row] == 0
        start, end = (logits.masked_fill(padding, -torch.inf) for logits in self.scores(hidden, row, position))
        loss = (F.cross_entropy(start, first, reduction="none") + F.cross_entropy(end, last, reduction="none")) / 2
        return HeadOutput(mean_by_window(loss, row, len(batch)), {})


def _matches(asking: Tensor, asked: Tensor, row: Tensor, number: Tensor, most: int) -> Tensor:
    """Products (Q, T) of ``asking`` (Q, H) with all positions of its ``row`` (Q,) of ``asked`` (B, T, H).

    Each row's questions, of which ``number`` (Q,) counts and no row has more than ``most``, are padded to (B, most, H),
    so that a row of ``asked`` is read once and not copied for each of its questions.
    """
    padded = asking.new_zeros(asked.shape[0], most, asking.shape[1]).index_put((row, number), asking)
    return torch.bmm(padded, asked.transpose(1, 2))[row, number]
