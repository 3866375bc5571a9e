"""Whole-word masking: which tokens are hidden, and what stands in their place."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from qakit.data.arrays import Bools, Float64, Int64
from qakit.data.batch import Batch
from qakit.randomness import uniform

HIDDEN, RANDOM = 0.8, 0.1
"""Of the chosen tokens, how many become the mask token, and how many any other; the rest stays as it is."""


@dataclass(frozen=True, slots=True)
class MaskedBatch(Batch):
    """A batch whose chosen tokens are to be guessed.

    Attributes:
        labels: (B, T) int64, the token that belongs to a chosen position, -1 elsewhere.
    """

    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class MaskWords:
    """Chooses words at random, anew in each epoch, until the rate is reached; 80% hidden, 10% replaced, 10% left.

    A draw's address is (seed, epoch, window, position): dynamic masking that depends on nothing else.

    Source: Devlin et al. 2019, "BERT", and its whole-word masking of May 2019; Liu et al. 2019, "RoBERTa" (dynamic
    masking); Cui et al. 2019, "Pre-Training with Whole Word Masking for Chinese BERT".
    """

    begins: Bools
    """(M,) whether each token of the store begins a word; all do where tokens are masked one by one."""
    rate: float
    mask: int
    """The mask token's id."""
    ordinary: Int64
    """(V',) ids of the tokens that are no special ones: what another token is drawn from."""
    seed: int

    def __call__(self, batch: Batch, keys: Int64, *, epoch: int) -> MaskedBatch:
        """The batch with some of its words masked; ``keys`` (B,) are the addresses of its windows."""
        position = np.arange(batch.input_ids.shape[1])
        address = keys[:, None] + position  # (B, T)
        order = uniform(self.seed, epoch, address, stream="words to mask")
        chosen = np.zeros(address.shape, bool)
        for row in range(len(keys)):
            text = np.flatnonzero(batch.token[row] >= 0)
            chosen[row, text[self._choose(batch.token[row, text], order[row, text])]] = True
        fate = uniform(self.seed, epoch, address, stream="fate of a masked token")
        drawn = uniform(self.seed, epoch, address, stream="another token") * len(self.ordinary)
        original = batch.input_ids.numpy()
        shown = np.where(fate < HIDDEN + RANDOM, self.ordinary[drawn.astype(np.int64)], original)
        shown = np.where(fate < HIDDEN, self.mask, shown)
        held = {field.name: getattr(batch, field.name) for field in fields(Batch)}
        held["input_ids"] = torch.from_numpy(np.where(chosen, shown, original))
        return MaskedBatch(**held, labels=torch.from_numpy(np.where(chosen, original, -1)))

    def _choose(self, token: Int64, order: Float64) -> Int64:
        """Which of a text's tokens (n,) are masked: whole words in the order of the draws, at most the rate.

        A word that is longer than what is left is skipped; if all are, the first one drawn is taken.
        """
        if not len(token):
            return np.zeros(0, np.int64)
        begins = self.begins[token]
        begins[0] = True
        first = np.flatnonzero(begins)
        stop = np.append(first[1:], len(token))
        left = max(1, round(self.rate * len(token)))
        words = np.argsort(order[first], kind="stable").tolist()
        taken = []
        for word in words:
            if stop[word] - first[word] <= left:
                taken.append(word)
                left -= int(stop[word] - first[word])
                if not left:
                    break
        return np.concatenate([np.arange(first[word], stop[word]) for word in taken or words[:1]])
