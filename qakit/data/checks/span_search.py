"""Whether any text that can be cut from a question's windows is exactly right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from qakit.data.arrays import Int32, Int64
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.values import Answer, Example

Exact = Callable[[Example, str], bool]
"""Whether an answer to a labelled question is exactly right: what a metric counts for exact match."""

_LETTERS_OF_ARTICLES = frozenset("anthe")


def same_text(example: Example, answer: str) -> bool:
    """The text of a gold answer but for blanks at its ends; the empty one for a question without an answer."""
    return answer.strip() in {gold.text.strip() for gold in example.answers or (Answer("", None),)}


class SpanSearch:
    """Looks through all spans that decoding may give, without listing them.

    Metrics for exact match compare texts after they have lowered them and dropped some characters and articles
    (a, an, the). So the characters that nobody drops, here called *firm*, must stand in the same order in both. Where a
    context's firm characters hold those of a gold answer, and only there, are spans of tokens put to the metric.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        encoded: EncodedExamples,
        windows: Windows,
        exact: Exact,
        max_answer_length: int | None,
        *,
        no_answer: bool,
    ) -> None:
        self._examples = examples
        self._encoded = encoded
        self._windows = windows
        self._exact = exact
        self._longest = max_answer_length
        self._no_answer = no_answer
        self._order = np.argsort(windows.pair, kind="stable")
        self._pairs = windows.pair[self._order]
        self._is_firm = lru_cache(maxsize=None)(self._stays)

    def finds(self, row: int) -> bool:
        """Whether a text that can be decoded for this labelled example is exactly right."""
        example = self._examples[row]
        if self._exact(example, "") and (self._no_answer or not self._anything(row)):
            return True
        golds = {self._firm(gold.text)[0] for gold in example.answers or (Answer("", None),)}
        if not all(golds):  # a metric may ignore an answer of which nothing is left, and then wants an empty one
            golds.add("")
        return any(
            self._exact(example, text)
            for number, context in enumerate(example.contexts)
            for text in self._cuts(context, int(self._encoded.pointers[row]) + number, golds)
        )

    def _anything(self, row: int) -> bool:
        """Whether a token of the contexts has anything to see; without one, the answer is empty."""
        return any(
            context[start:end].strip()
            for number, context in enumerate(self._examples[row].contexts)
            for start, end in self._offsets(int(self._encoded.pointers[row]) + number)
        )

    def _offsets(self, pair: int) -> Int32:
        """(n, 2) characters of the context's tokens, ends exclusive."""
        store, text_row = self._encoded.store, self._encoded.context[pair]
        return store.offsets[store.pointers[text_row] : store.pointers[text_row + 1]]

    def _cuts(self, context: str, pair: int, golds: set[str]) -> Iterator[str]:
        """The texts of the spans that have the firm characters of a gold answer."""
        offsets = self._offsets(pair)
        firm, before = self._firm(context)
        begins, ends = before[offsets[:, 0]], before[offsets[:, 1]]
        low, high = np.searchsorted(self._pairs, [pair, pair + 1])
        segments = self._order[low:high]
        window_first, window_stop = self._windows.first[segments], self._windows.stop[segments]
        for gold in golds:
            at = firm.find(gold)
            while at >= 0:
                lasts = np.flatnonzero(ends == at + len(gold))
                for first in np.flatnonzero(begins == at).tolist():
                    stop = int(window_stop[window_first <= first].max(initial=0))
                    if self._longest is not None:
                        stop = min(stop, first + self._longest)
                    for last in lasts[(lasts >= first) & (lasts < stop)].tolist():
                        if text := context[offsets[first, 0] : offsets[last, 1]].strip():
                            yield text
                at = firm.find(gold, at + 1)

    def _firm(self, text: str) -> tuple[str, Int64]:
        """The firm characters, lowered, and how many of them stand before each character and the end (C + 1,)."""
        kept = ["".join(filter(self._is_firm, character.casefold())) for character in text]
        return "".join(kept), np.cumsum([0, *map(len, kept)], dtype=np.int64)

    def _stays(self, character: str) -> bool:
        """Whether the metric always looks at this character, as at a letter that is in no article."""
        if not character.isalnum() or character in _LETTERS_OF_ARTICLES:
            return False
        return not self._exact(Example("", "", ("",), answers=(Answer(character, None),)), "")
