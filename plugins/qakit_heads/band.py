"""Tensors of spans by first position and length, (B, T, L): spans longer than L are never touched."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from qakit.api import Distributions
from qakit_heads.segments import spans_from
from qakit_heads.windowed import NEVER

SMALLEST_BLOCK = 32
"""Positions that are multiplied at once, if the length limit is not above that: below, matrices become too small."""


def possible_spans(context_mask: Tensor, limit: int) -> Tensor:
    """(B, T, L) bool: the span of l + 1 positions from position t lies within one context."""
    lengths = torch.arange(limit, device=context_mask.device)
    return lengths < spans_from(context_mask, limit)[:, :, None]


def at_ends(values: Tensor, limit: int, *, fill: float) -> Tensor:
    """(B, T) values of last positions -> (B, T, L), a view: ``result[b, t, l] = values[b, t + l]``."""
    return F.pad(values, (0, limit - 1), value=fill).unfold(1, limit, 1)


def along_ends(band: Tensor, *, fill: float = 0.0) -> Tensor:
    """(B, T, L) by first position -> (B, T, L) by last position: ``result[b, t]`` holds all spans that end at t.

    The longest stands first: ``result[b, t, L - 1 - l] = band[b, t - l, l]``. Not to be differentiated.
    """
    size, width, limit = band.shape
    padded = F.pad(band.detach(), (0, 0, limit - 1, 0), value=fill).contiguous()  # (B, L - 1 + T, L)
    # One step further to the right in a row of the result is one start later and one position shorter.
    strides = ((width + limit - 1) * limit, limit, limit - 1)
    return padded.as_strided((size, width, limit), strides, padded.storage_offset() + limit - 1)


def over_spans(null: Tensor, band: Tensor, possible: Tensor) -> Distributions:
    """The softmax over "no answer" and all possible spans of each window.

    Args:
        null: (B,) float, the score of "no answer".
        band: (B, T, L) float, the scores of spans by first position and length.
        possible: (B, T, L) bool.
    """
    scores = torch.cat([null[:, None], band.masked_fill(~possible, NEVER).flatten(1)], 1)
    there = F.pad(possible.flatten(1), (1, 0), value=True)
    return Distributions(scores.log_softmax(1).float(), there, len(null))


def band_products(left: Tensor, right: Tensor, limit: int) -> Tensor:
    """(B, T, R) x (B, T, R) -> (B, T, L): ``result[b, t, l] = <left[b, t], right[b, t + l]>``, 0 beyond the end.

    A block of first positions is multiplied with all last positions that its spans reach, in one matrix product; its
    rows are then shifted against each other. About twice the band is computed, not T x T.
    """
    size, width, rank = left.shape
    block = max(limit, min(SMALLEST_BLOCK, width))
    blocks = -(-width // block)
    reach = block + limit - 1
    rows = F.pad(left, (0, 0, 0, blocks * block - width)).view(size, blocks, block, rank)
    columns = F.pad(right, (0, 0, 0, blocks * block + limit - 1 - width)).unfold(1, reach, block)  # (B, n, R, reach)
    products = rows @ columns  # (B, n, block, reach); the band is its diagonals
    # Rows of reach + 1 instead of reach: element (c, c + l) comes to stand at (c, l).
    skewed = F.pad(products.flatten(2), (0, block)).view(size, blocks, block, reach + 1)
    return skewed[..., :limit].reshape(size, blocks * block, limit)[:, :width]
