"""When two answers are the same one, and which ones are right, as far as methods compare texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from qakit.api import Example, UsageError

NOTHING = "weights cannot be learnt: none of the questions has a gold answer"


@lru_cache(maxsize=1 << 16)
def same(text: str) -> str:
    """What answers that count as equal have in common: the text after NFKC and stripping."""
    return unicodedata.normalize("NFKC", text).strip()


def right_texts(examples: Sequence[Example] | None, rows: Sequence[int]) -> dict[int, frozenset[str]]:
    """For each labelled question among ``rows``, the right answers in the form of :func:`same`.

    An unanswerable question's is "", a class's its name and a context's its number.

    Raises:
        UsageError: there is none.
    """
    found = {row: texts for row in rows if examples is not None and (texts := _texts(examples[row]))}
    if not found:
        raise UsageError(NOTHING)
    return found


def _texts(example: Example) -> frozenset[str]:
    if example.label is not None:
        return frozenset([same(str(example.label))])
    if example.answers is not None:
        return frozenset(same(answer.text) for answer in example.answers) or frozenset([""])
    return frozenset() if example.relevant is None else frozenset([str(example.relevant)])
