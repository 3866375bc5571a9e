"""Spans of tokens that come several times in a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qakit.data.arrays import Bools
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows


@dataclass(frozen=True, slots=True)
class Recurring:
    """A span of ``length`` tokens, and where it begins each time, ascending."""

    length: int
    starts: tuple[int, ...]


def recurring_spans(
    ids: Sequence[int], begins: Sequence[bool], content: Sequence[bool], *, shortest: int, longest: int
) -> list[Recurring]:
    """Spans of whole words that come at least twice in a text without overlap, longest first, then by first place.

    What lies in an accepted span is not looked at again, so every span is as long as it can be. A span without a
    content token is none.

    Args:
        ids: (n,) the text's tokens.
        begins: (n,) whether each begins a word.
        content: (n,) whether each is more than a function word or a mark.
        shortest, longest: of a span, in tokens.

    Source: Ram et al. 2021, "Few-Shot Question Answering by Pretraining Span Selection" (Splinter).
    """
    n = len(ids)
    taken = [False] * n
    found = []
    for length in range(min(longest, n // 2), shortest - 1, -1):
        places: dict[tuple[int, ...], list[int]] = {}
        for start in range(n - length + 1):
            stop = start + length
            whole = (start == 0 or begins[start]) and (stop == n or begins[stop])
            if whole and not any(taken[start:stop]) and any(content[start:stop]):
                places.setdefault(tuple(ids[start:stop]), []).append(start)
        for starts in places.values():
            free = _apart(starts, length, taken)
            if len(free) > 1:
                found.append(Recurring(length, tuple(free)))
                for start in free:
                    taken[start : start + length] = [True] * length
    return found


def _apart(starts: Iterable[int], length: int, taken: Sequence[bool]) -> list[int]:
    """The starts whose spans overlap neither each other nor what is taken, from left to right."""
    free: list[int] = []
    for start in starts:
        if not any(taken[start : start + length]) and (not free or start >= free[-1] + length):
            free.append(start)
    return free


def recurring_in(
    windows: Windows, encoded: EncodedExamples, begins: Bools, content: Bools, *, shortest: int, longest: int
) -> list[list[Recurring]]:
    """The recurring spans of each window, counted from its first text token; windows of one segment each."""
    store = encoded.store
    base = store.pointers[encoded.context[windows.pair]]
    found = []
    for low, high in zip((base + windows.first).tolist(), (base + windows.stop).tolist(), strict=True):
        ids = store.ids[low:high].tolist()
        of = (begins[low:high].tolist(), content[low:high].tolist())
        found.append(recurring_spans(ids, *of, shortest=shortest, longest=longest))
    return found


def content_tokens(windows: Windows, encoded: EncodedExamples, words: Bools, *, common: float) -> Bools:
    """(M,) whether each token of the store says something by itself.

    Those do not that are in more than a share ``common`` of the windows (function words), and marks (``words`` (M,) is
    False). With a single window nothing can be told about frequency.
    """
    store = encoded.store
    base = store.pointers[encoded.context[windows.pair]]
    seen = np.zeros(int(store.ids.max(initial=0)) + 1, np.int64)
    for low, high in zip((base + windows.first).tolist(), (base + windows.stop).tolist(), strict=True):
        seen[np.unique(store.ids[low:high])] += 1
    content: Bools = words & (seen[store.ids] <= max(1.0, common * len(windows)))
    return content
