"""Every distinct text, tokenised once: flat ids, character offsets and row pointers, memory-mapped from a cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenStore:
    """R texts with M tokens in all.

    Attributes:
        ids: (M,) int32 token ids, without special tokens.
        offsets: (M, 2) int32 character start and end (exclusive) of each token in its raw text.
        pointers: (R + 1,) int64; the tokens of row r are [pointers[r], pointers[r + 1]).
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int32]
    pointers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pointers) - 1

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(R,) tokens of each text."""
        return np.diff(self.pointers).astype(np.int32)
