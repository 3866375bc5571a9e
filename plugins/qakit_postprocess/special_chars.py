"""The clean-up that Chinese QA competitions reward: stripped answers, whole pairs of brackets, no unwanted characters.

None of the 7,654 gold answers of NTU ML HW7's public files holds a lone half of a pair, while 243 begin and end with
one: a span that stops one token early, ``《三國演義``, is wrong for a single character. Where the context has no other
half beside the span, no gold answer can have it there, so removing the lone half is the better guess.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import chain

from qakit.api import Example, Prediction, SpanPrediction
from qakit_postprocess import SpecialCharsSettings
from qakit_postprocess.place import Place, candidate_places, place_of


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


_ZERO_WIDTH = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_OUTER = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + _ZERO_WIDTH
"""What ``strip`` removes; the last white space of Unicode is U+3000."""


class SpecialChars:
    """Clean an answer by the rules in the settings; cleaning twice changes nothing more."""

    def __init__(self, settings: SpecialCharsSettings) -> None:
        self._complete = settings.complete
        self._pairs = Pairs(settings.pairs)
        self._outer = _OUTER if settings.strip else ""
        self._edges = self._outer + settings.edges
        self._removed = dict.fromkeys(map(ord, settings.remove))

    def __call__(self, prediction: Prediction, example: Example) -> Prediction:
        """The prediction with its final text cleaned; classes and numbers pass through."""
        if not isinstance(prediction, SpanPrediction) or not prediction.answer:
            return prediction
        answer = self._tidy(prediction.answer)
        # A mended answer may lie in another place, where more can be mended: look until nothing changes. This ends,
        # because every change leaves fewer lone halves.
        while (mended := self._tidy(self._mend(answer, prediction, example))) != answer:
            answer = mended
        return prediction if answer == prediction.answer else prediction.with_answer(answer)

    def _tidy(self, text: str) -> str:
        if self._removed:
            text = text.translate(self._removed)
        return self._inner(text)

    def _inner(self, text: str) -> str:
        """Without what does not belong at the edges; of nothing but punctuation, all of it."""
        return text.strip(self._edges) or text.strip(self._outer) if self._edges else text

    def _mend(self, answer: str, prediction: SpanPrediction, example: Example) -> str:
        lone = self._pairs.lone(answer)
        if self._complete == "keep" or not (lone.opening or lone.closing):
            return answer
        if self._complete != "drop":
            wider = self._widened(answer, lone, prediction, example)
            if self._tidy(wider) != answer:
                return wider
        if self._complete == "always":
            before = "".join(self._pairs.mate[answer[position]] for position in reversed(lone.closing))
            after = "".join(self._pairs.mate[answer[position]] for position in reversed(lone.opening))
            return before + answer + after
        return self._without_outer_halves(answer)

    def _widened(self, answer: str, lone: Lone, prediction: SpanPrediction, example: Example) -> str:
        """The answer with the missing halves that stand right beside it in the context."""
        place = self._place(answer, prediction, example)
        if place is None:
            return answer
        context, start, end = place.context, place.start, place.end
        openings = [answer[position] for position in lone.opening]
        closings = [answer[position] for position in reversed(lone.closing)]
        while openings and end < len(context) and self._pairs.fit(openings[-1], context[end]):
            openings.pop()
            end += 1
        while closings and start and self._pairs.fit(context[start - 1], closings[-1]):
            closings.pop()
            start -= 1
        return context[start:end]

    def _place(self, answer: str, prediction: SpanPrediction, example: Example) -> Place | None:
        """Where a tidied answer lies: in the best candidate that tidies to it, else as for any answer."""
        for place in candidate_places(prediction, example):
            if self._tidy(place.text) == answer:
                inner = self._inner(place.text)
                start = place.start + place.text.index(inner)
                return place.at(start, start + len(inner))
        return place_of(prediction.with_answer(answer), example)

    def _without_outer_halves(self, answer: str) -> str:
        """Lone halves inside the answer stay: without them it would not be a piece of the context."""
        lone = self._pairs.lone(answer)
        start = int(0 in (*lone.opening, *lone.closing))
        end = len(answer) - int(len(answer) - 1 in (*lone.opening, *lone.closing))
        return answer[start:end] if start < end else answer
