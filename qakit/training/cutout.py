"""Hiding tokens of training windows at random."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from qakit.data.batch import Batch
from qakit.errors import ModelError
from qakit.randomness import uniform
from qakit.recipe.by_epoch import TokenCutoutSection

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TokenCutout:
    """Puts the mask token in the place of some question and context tokens, each drawn for itself.

    A draw's address is (seed, epoch, window, position). Labels, offsets and masks stay what they are: only what the
    backbone reads changes.

    Source: after Shen et al. 2020, "A Simple but Tough-to-Beat Data Augmentation Approach for Natural Language
    Understanding and Generation" (token cutoff, which zeroes the embedding).
    """

    section: TokenCutoutSection
    mask: int
    """The mask token's id."""
    seed: int

    def __call__(self, batch: Batch, keys: NDArray[np.int64], *, epoch: int) -> Batch:
        """The batch with some of its tokens hidden; ``keys`` (B,) are the addresses of its windows."""
        position = np.arange(batch.input_ids.shape[1])
        draw = uniform(self.seed, epoch, keys[:, None] + position, stream="token cutout")  # (B, T)
        hidden = (batch.token >= 0) & (draw < self.section.rate)
        if self.section.keep_answer and batch.target_first is not None and batch.target_last is not None:
            first, last = batch.target_first.numpy()[:, None], batch.target_last.numpy()[:, None]
            hidden &= (position < first) | (position > last)
        return replace(batch, input_ids=batch.input_ids.masked_fill(torch.from_numpy(hidden), self.mask))


def token_cutout(
    section: TokenCutoutSection | None, tokenizer: PreTrainedTokenizerBase, *, seed: int
) -> TokenCutout | None:
    """What a recipe's ``train.token_cutout`` asks for, or None.

    Raises:
        ModelError: the tokenizer has no mask token.
    """
    if section is None:
        return None
    if tokenizer.mask_token_id is None:
        raise ModelError(
            "train.token_cutout puts the mask token in the place of others, and this backbone's tokenizer has none; "
            "leave token_cutout out"
        )
    return TokenCutout(section, int(tokenizer.mask_token_id), seed)
