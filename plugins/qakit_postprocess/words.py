"""Answers of whole words.

A span of tokens may begin or end inside a word: a head may choose the piece ``##ing`` as its start, and averages over
characters may peak there. No gold answer of the 1,883 in SQuAD 2.0's sample of articles does on purpose (one does by
mistake).
"""

from __future__ import annotations

import re
import unicodedata

from qakit.api import Example, Prediction, SpanPrediction
from qakit_postprocess.place import Place, place_of
from qakit_postprocess.settings import TrimToTokensSettings

_NO_WORDS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]"
)
"""Scripts that leave no space between words (Han, kana, Thai, Lao, Khmer, Burmese), and Hangul, where an answer may
well be a word without its particle."""


class TrimToTokens:
    """Widen or trim an answer that begins or ends inside a word."""

    def __init__(self, settings: TrimToTokensSettings) -> None:
        self._widen = settings.cut == "widen"

    def __call__(self, prediction: Prediction, example: Example) -> Prediction:
        """The prediction with an answer of whole words; one that no context has stays."""
        if not isinstance(prediction, SpanPrediction) or (place := place_of(prediction, example)) is None:
            return prediction
        snapped = _widened(place) if self._widen else _trimmed(place)
        return prediction if snapped == place else prediction.with_answer(snapped.text)


def _widened(place: Place) -> Place:
    start, end = place.start, place.end
    while _inside_word(place.context, start):
        start -= 1
    while _inside_word(place.context, end):
        end += 1
    return place.at(start, end)


def _trimmed(place: Place) -> Place:
    """Without the cut words, and without what then stands at the edge; an answer inside a single word is widened."""
    start, end = place.start, place.end
    while start < end and _inside_word(place.context, start):
        start += 1
    while end > start and _inside_word(place.context, end):
        end -= 1
    text = place.context[start:end]
    if not any(map(str.isalnum, text)):
        return _widened(place)
    if start != place.start:
        start = end - len(text.lstrip())
    if end != place.end:
        end = start + len(place.context[start:end].rstrip())
    return place.at(start, end)


def _inside_word(text: str, position: int) -> bool:
    """Whether the border before this character cuts a word or a number."""
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    if _in_word(before) and _in_word(after):
        return True
    # 1,995 and 3.5 are one number.
    return (before in ".," and after.isdigit() and text[position - 2 : position - 1].isdigit()) or (
        after in ".," and before.isdigit() and text[position + 1 : position + 2].isdigit()
    )


def _in_word(character: str) -> bool:
    return (character.isalnum() or unicodedata.category(character)[0] == "M") and not _NO_WORDS.match(character)
