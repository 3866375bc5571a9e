"""When two answers are the same one."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=1 << 16)
def same(text: str) -> str:
    """What answers that count as equal have in common: the text after NFKC and stripping."""
    return unicodedata.normalize("NFKC", text).strip()
