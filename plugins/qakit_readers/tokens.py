"""Texts whose tokens are separated by single blanks, as files with token numbers have them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Tokens:
    """The characters of a text's tokens; a blank at either end, or two in a row, make an empty token.

    Attributes:
        starts: each token's first character, in order.
        ends: one past its last character.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Tokens:
        ends = tuple(accumulate((len(token) for token in text.split(" ")), lambda end, length: end + 1 + length))
        return cls((0, *(end + 1 for end in ends[:-1])), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def characters(self, first: int, stop: int) -> tuple[int, int]:
        """[start, end) characters of the tokens [first, stop), of which there is at least one."""
        return self.starts[first], self.ends[stop - 1]
