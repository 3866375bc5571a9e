"""Answers of whole words.

A span of tokens may begin or end inside a word: a head may choose the piece ``##ing`` as its start, and averages over
characters may peak there. No gold answer of the 1,883 in SQuAD 2.0's sample of articles does on purpose (one does by
mistake).
"""

from __future__ import annotations

import re
import unicodedata

from qakit.api import Example, Prediction, SpanPrediction
from qakit_postprocess import TrimToTokensSettings
from qakit_postprocess.place import Place, place_of

_NO_WORDS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]"
)
"""Scripts that leave no space between words (Han, kana, Thai, Lao, Khmer, Burmese), and Hangul, where an answer may
well be a word without its particle. But for Hangul, whole-word masking draws the same line
(``qakit.pretraining.pieces``)."""
_APOSTROPHES = "'\u2019"


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
    """Without the cut words and what belongs to them; widened where nothing would be left.

    To a cut word belong what an apostrophe ties to it (``don't``), marks without a space between, unless they open what
    follows or close what precedes, and then the space.
    """
    text, start, end = place.context, place.start, place.end
    if _inside_word(text, start):
        while start < end and (_inside_word(text, start) or _tied(text, start)):
            start += 1
        while start < end and _is_mark(text[start], but="PsPi"):
            start += 1
        while start < end and text[start].isspace():
            start += 1
    if _inside_word(text, end):
        while end > start and (_inside_word(text, end) or _tied(text, end)):
            end -= 1
        while end > start and _is_mark(text[end - 1], but="PePf"):
            end -= 1
        while end > start and text[end - 1].isspace():
            end -= 1
    return place.at(start, end) if any(map(str.isalnum, text[start:end])) else _widened(place)


def _is_mark(character: str, *, but: str) -> bool:
    kind = unicodedata.category(character)
    return kind[0] in "PS" and kind not in but


def _tied(text: str, position: int) -> bool:
    """Whether this border lies beside an apostrophe between two letters."""
    around = (text[at - 1 : at + 2] for at in (position - 1, position) if at > 0)
    return any(
        len(three) == 3 and three[1] in _APOSTROPHES and _in_word(three[0]) and _in_word(three[2]) for three in around
    )


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
