"""First-party clean-up of answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, NoRuntime, Postprocessor, hookimpl
from qakit_postprocess.settings import (
    LengthPriorSettings,
    NumberUnitsSettings,
    SpecialCharsSettings,
    TrimToTokensSettings,
)

__all__ = ["LENGTH_PRIOR", "NUMBER_UNITS", "SPECIAL_CHARS", "TRIM_TO_TOKENS", "qakit_register_postprocessors"]


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
