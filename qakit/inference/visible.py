"""A candidate for questions whose decoded spans are all blank, or who have none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

UNSUPPORTED = 100.0
"""How far below "no answer" a candidate scores that no head decoded: e^-100 times as likely, and still a number."""


def nearest_visible(text: str, offsets: NDArray[np.int32], at: int) -> tuple[int, int] | None:
    """The visible token nearest to a character, without whitespace at its ends; of two equally near ones the later.

    Args:
        text: the context.
        offsets: (n, 2) characters of its tokens, ends exclusive.
        at: a character.

    Returns:
        Its first character and one past its last; None where no token has anything to see.
    """
    tokens: Iterable[tuple[int, int]] = ((int(start), int(end)) for start, end in offsets)
    visible = [(start, end) for start, end in tokens if text[start:end].strip()]
    if not visible:
        return None
    start, end = min(visible, key=lambda token: (max(at - token[1] + 1, token[0] - at, 0), -token[0]))
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    return start, start + len(inner.strip())
