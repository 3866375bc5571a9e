"""First-party clean-up of answers."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from qakit.api import Component, NoRuntime, Postprocessor, Settings, hookimpl


class SpecialCharsSettings(Settings):
    """Settings of ``special_chars``: each rule can be switched off."""

    strip: bool = Field(
        True, description="Remove white space (also U+3000 and U+00A0) and zero-width characters around the answer."
    )
    complete: Literal["context", "always", "drop", "keep"] = Field(
        "context",
        description="What to do about an answer that holds one half of a pair alone, such as `「臺北`. `context`: take "
        "the other half in if the context has it right beside the answer, else remove the lone half from the answer's "
        "edge, so that the answer stays a piece of the context. `always`: as `context`, but write the other half where "
        "the context does not have it. `drop`: only remove lone halves from the edges. `keep`: leave them.",
    )
    pairs: str = Field(
        "《》〈〉「」『』（）()【】“”",
        description="Opening and closing halves in turn. Full-width and half-width forms close each other. Straight "
        "quotes and single quotes are not here: they do not tell which half they are.",
    )
    edges: str = Field(
        "，、；：,;:",
        description="Punctuation that no answer begins or ends with, taken off its ends; an answer of nothing else "
        "stays. Full stops are not here: they end abbreviations.",
    )
    remove: str = Field(
        "", description='Characters taken out of the answer at the end; "," for NTU HW7, whose key lost its commas.'
    )

    @field_validator("pairs")
    @classmethod
    def _halves(cls, value: str) -> str:
        if len(value) % 2 or len(set(value)) != len(value):
            raise ValueError("pairs needs an opening and a closing character in turn, each character once")
        if odd := [character for character in value if unicodedata.category(character)[0] not in "PS"]:
            raise ValueError(f"pairs takes punctuation and symbols, not {odd[0]!r}")
        return value


class TrimToTokensSettings(Settings):
    cut: Literal["widen", "trim"] = Field(
        "widen",
        description="What happens to a word that the answer's border cuts: `widen` takes all of it in, `trim` leaves "
        "all of it out (an answer inside a single word is widened). Scripts without spaces between words stay as they "
        "are.",
    )


class NumberUnitsSettings(Settings):
    add: tuple[str, ...] | None = Field(
        None,
        description="Units that an answer gets which is a number with the unit right behind it in the context: `5` "
        "becomes `5公里`. By default common Chinese and English ones, without those of `drop`. Known words that only "
        "begin like a unit are none: `3` stays before `分之一`.",
    )
    drop: tuple[str, ...] = Field(
        (),
        description="Units that an answer of a number and its unit loses: `1995年` becomes `1995`, and `3萬人` `3萬`.",
    )
    magnitudes: str = Field(
        "多餘余十百千萬万億亿兆",
        description="Characters that may stand between number and unit: `3萬人`. They come with an added unit, and "
        "stay when one is dropped, because `3` is another number.",
    )

    @field_validator("add", "drop")
    @classmethod
    def _units(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for unit in value or ():
            if not unit.strip() or unit[0].isdigit():
                raise ValueError(f"{unit!r} is no unit: units are texts such as 公里 or percent")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if both := set(self.add or ()) & set(self.drop):
            raise ValueError(f"{sorted(both)[0]!r} is in `add` and in `drop`")
        return self


class LengthPriorSettings(Settings):
    weight: float = Field(
        0.5, gt=0, allow_inf_nan=False, description="How much the prior counts against the model's log-probabilities."
    )
    median: float = Field(
        5.0,
        ge=1,
        allow_inf_nan=False,
        description="The length that the prior favours most, in characters: that of the middle one of all answers.",
    )
    spread: float = Field(
        0.7,
        gt=0,
        allow_inf_nan=False,
        description="Standard deviation of the length's natural logarithm: with 0.7, half or twice the median costs "
        "0.49 times `weight`.",
    )


SPECIAL_CHARS: Component[SpecialCharsSettings, NoRuntime, Postprocessor] = Component(
    name="special_chars",
    summary="Strip answers, mend lone halves of brackets and quotes, remove characters",
    settings=SpecialCharsSettings,
    build="qakit_postprocess.special_chars:SpecialChars",
    tries=({}, {"complete": "drop"}, {"complete": "always"}),
)
TRIM_TO_TOKENS: Component[TrimToTokensSettings, NoRuntime, Postprocessor] = Component(
    name="trim_to_tokens",
    summary="Answers of whole words: what begins or ends inside a word is widened or trimmed",
    settings=TrimToTokensSettings,
    build="qakit_postprocess.words:TrimToTokens",
    tries=({"cut": "widen"}, {"cut": "trim"}),
)
NUMBER_UNITS: Component[NumberUnitsSettings, NoRuntime, Postprocessor] = Component(
    name="number_units",
    summary="A number gets the unit that stands behind it in the context, or loses its own",
    settings=NumberUnitsSettings,
    build="qakit_postprocess.numbers:NumberUnits",
)
LENGTH_PRIOR: Component[LengthPriorSettings, NoRuntime, Postprocessor] = Component(
    name="length_prior",
    summary="The candidate that is best under the model and a prior over the answer's length",
    settings=LengthPriorSettings,
    build="qakit_postprocess.lengths:LengthPrior",
    tries=({"weight": 0.25}, {"weight": 0.5}, {"weight": 1.0}),
)


@hookimpl
def qakit_register_postprocessors() -> Iterable[Component[Any, Any, Any]]:
    """The postprocessors of this package."""
    return (SPECIAL_CHARS, TRIM_TO_TOKENS, NUMBER_UNITS, LENGTH_PRIOR)
