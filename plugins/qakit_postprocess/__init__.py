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


def _build_special_chars(settings: SpecialCharsSettings, _: NoRuntime) -> Postprocessor:
    from qakit_postprocess.special_chars import SpecialChars

    return SpecialChars(settings)


def _build_trim_to_tokens(settings: TrimToTokensSettings, _: NoRuntime) -> Postprocessor:
    from qakit_postprocess.words import TrimToTokens

    return TrimToTokens(settings)


def _build_number_units(settings: NumberUnitsSettings, _: NoRuntime) -> Postprocessor:
    from qakit_postprocess.numbers import NumberUnits

    return NumberUnits(settings)


def _build_length_prior(settings: LengthPriorSettings, _: NoRuntime) -> Postprocessor:
    from qakit_postprocess.lengths import LengthPrior

    return LengthPrior(settings)


SPECIAL_CHARS: Component[SpecialCharsSettings, NoRuntime, Postprocessor] = Component(
    name="special_chars",
    summary="Strip answers, mend lone halves of brackets and quotes, remove characters",
    settings=SpecialCharsSettings,
    build=_build_special_chars,
    tries=({}, {"complete": "drop"}, {"complete": "always"}),
)
TRIM_TO_TOKENS: Component[TrimToTokensSettings, NoRuntime, Postprocessor] = Component(
    name="trim_to_tokens",
    summary="Answers of whole words: what begins or ends inside a word is widened or trimmed",
    settings=TrimToTokensSettings,
    build=_build_trim_to_tokens,
    tries=({"cut": "widen"}, {"cut": "trim"}),
)
NUMBER_UNITS: Component[NumberUnitsSettings, NoRuntime, Postprocessor] = Component(
    name="number_units",
    summary="A number gets the unit that stands behind it in the context, or loses its own",
    settings=NumberUnitsSettings,
    build=_build_number_units,
)
LENGTH_PRIOR: Component[LengthPriorSettings, NoRuntime, Postprocessor] = Component(
    name="length_prior",
    summary="The candidate that is best under the model and a prior over the answer's length",
    settings=LengthPriorSettings,
    build=_build_length_prior,
    tries=({"weight": 0.25}, {"weight": 0.5}, {"weight": 1.0}),
)


@hookimpl
def qakit_register_postprocessors() -> Iterable[Component[Any, Any, Any]]:
    """The postprocessors of this package."""
    return (SPECIAL_CHARS, TRIM_TO_TOKENS, NUMBER_UNITS, LENGTH_PRIOR)
