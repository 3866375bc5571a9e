"""Numbers with their units, or without, as the gold answers have them.

In NTU ML HW7's public files 1,294 gold answers begin as a number and go on with what it counts (``1995年``, ``12%``);
32 are a number alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from qakit.api import Example, Prediction, SpanPrediction
from qakit_postprocess.place import Place, place_of
from qakit_postprocess.settings import NumberUnitsSettings
from qakit_postprocess.units import COMMON, LARGE, OTHER_WORDS

ENOUGH = 5
"""Gold answers with a unit within reach that say how it is written; with fewer it is left as it is."""
_NUMBER = r"(?<![^\W\d_])[0-9０-９](?:[0-9０-９]|[.,，．](?=[0-9０-９]))*"
"""Not the end of a name such as B52."""


class NumberUnits:
    """Add a number's unit from the context, or take it away."""

    def __init__(self, settings: NumberUnitsSettings) -> None:
        self._magnitudes = settings.magnitudes
        add = tuple(unit for unit in COMMON if unit not in settings.drop) if settings.add is None else settings.add
        self._add, self._drop = add, settings.drop
        self._beside = _unit(add, settings.magnitudes)
        self._at_end = _numbers_with(settings.drop, settings.magnitudes)
        self._number = re.compile(_number(settings.magnitudes))

    def __call__(self, prediction: Prediction, example: Example) -> Prediction:
        """The prediction with the number's unit added or gone; answers that are no number stay."""
        if not isinstance(prediction, SpanPrediction) or not prediction.answer:
            return prediction
        if bare := self._at_end.fullmatch(prediction.answer):
            return prediction.with_answer(bare["number"])
        if not self._number.fullmatch(prediction.answer):
            return prediction
        place = place_of(prediction, example)
        unit = None if place is None else _beside(self._beside, place)
        return prediction if unit is None else prediction.with_answer(prediction.answer + unit[0])

    def learn(self, examples: Sequence[Example]) -> Mapping[str, object]:
        """``add`` and ``drop``: the known units, by what most gold answers do with each.

        Words for large numbers, such as "million", are never dropped: without them it is another number.
        """
        units = tuple(dict.fromkeys((*self._add, *self._drop)))
        beside, whole = _unit(units, self._magnitudes), _numbers_with(units, self._magnitudes)
        written, left = Counter[str](), Counter[str]()
        for place in _golds(examples):
            if found := whole.fullmatch(place.text):
                written[found["unit"]] += 1
            elif self._number.fullmatch(place.text) and (unit := _beside(beside, place)):
                left[unit["unit"]] += 1
        seen = [unit for unit in units if written[unit] + left[unit] >= ENOUGH]
        return {
            "add": [unit for unit in seen if written[unit] > left[unit]],
            "drop": [unit for unit in seen if written[unit] < left[unit] and unit not in LARGE],
        }


def _golds(examples: Iterable[Example]) -> Iterable[Place]:
    """The gold answers whose place is known, each text of a question once."""
    for example in examples:
        for answer in dict.fromkeys(example.answers or ()):
            if answer.start is not None and answer.end is not None and answer.context < len(example.contexts):
                yield Place(example.contexts[answer.context], answer.start, answer.end)


def _unit(units: Sequence[str], magnitudes: str) -> re.Pattern[str]:
    """A space or none, orders of magnitude, and a unit, the longest that fits."""
    known = {*units, *COMMON, *OTHER_WORDS}
    several = "|".join(_whole(unit, known) for unit in sorted(units, key=len, reverse=True)) or r"(?!)"
    return re.compile(rf"[ \u00a0]?{_one_of(magnitudes)}*(?P<unit>{several})")


def _whole(unit: str, known: Collection[str]) -> str:
    """A unit that is no beginning of a longer word: of any if it ends in a letter of A to Z, else of a known one."""
    if unit[-1].isascii() and unit[-1].isalpha():
        return re.escape(unit) + r"(?!-?[^\W_])"
    rests = "|".join(re.escape(word[len(unit) :]) for word in sorted(known) if word.startswith(unit) and word != unit)
    return re.escape(unit) + (f"(?!{rests})" if rests else "")


def _one_of(characters: str) -> str:
    return f"[{re.escape(characters)}]" if characters else "(?:)"


def _number(magnitudes: str) -> str:
    """A number with its orders of magnitude, which no unit takes away: ``3萬``."""
    return rf"{_NUMBER}(?:[ \u00a0]?{_one_of(magnitudes)}+)?" if magnitudes else _NUMBER


def _numbers_with(units: Sequence[str], magnitudes: str) -> re.Pattern[str]:
    return re.compile(f"(?P<number>{_number(magnitudes)}){_unit(units, magnitudes).pattern}")


def _beside(pattern: re.Pattern[str], place: Place) -> re.Match[str] | None:
    """The unit right after the number; None where the number goes on, or is the tail of one."""
    if place.before and (place.before in ".," or place.before.isdigit() or re.match("[A-Za-z]", place.before)):
        return None
    return pattern.match(place.context, place.end)
