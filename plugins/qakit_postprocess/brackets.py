"""Which halves of brackets and quotes stand alone in a text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True, slots=True)
class Lone:
    """Positions (characters) of halves without their mate, in order."""

    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()


class Pairs:
    """The pairs in question. Forms that NFKC makes equal, such as （ and (, are one kind."""

    def __init__(self, halves: str) -> None:
        """``halves``: opening and closing characters in turn."""
        opening, closing = halves[::2], halves[1::2]
        self.mate = dict(zip(opening, closing, strict=True)) | dict(zip(closing, opening, strict=True))
        """The half that belongs to a half."""
        self._opens = {character: unicodedata.normalize("NFKC", character) for character in opening}
        self._closes = {
            mate: unicodedata.normalize("NFKC", character) for character, mate in zip(opening, closing, strict=True)
        }
        self._any = re.compile(f"[{re.escape(halves)}]") if halves else re.compile(r"(?!)")

    def lone(self, text: str) -> Lone:
        """Halves without a mate; each kind is counted by itself, so crossing pairs are pairs."""
        open_at: dict[str, list[int]] = {}
        closing = []
        for match in self._any.finditer(text):
            character, position = match[0], match.start()
            if character in self._opens:
                open_at.setdefault(self._opens[character], []).append(position)
            elif open_at.get(self._closes[character]):
                open_at[self._closes[character]].pop()
            else:
                closing.append(position)
        return Lone(tuple(sorted(chain.from_iterable(open_at.values()))), tuple(closing))

    def fit(self, opening: str, closing: str) -> bool:
        """Whether the two characters are halves of one kind of pair."""
        return opening in self._opens and self._opens[opening] == self._closes.get(closing)
