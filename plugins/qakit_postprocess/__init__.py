"""First-party clean-up of answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, NoRuntime, Postprocessor, hookimpl
from qakit_postprocess.settings import SpecialCharsSettings

__all__ = ["SPECIAL_CHARS", "qakit_register_postprocessors"]


def _build_special_chars(settings: SpecialCharsSettings, _: NoRuntime) -> Postprocessor:
    from qakit_postprocess.special_chars import SpecialChars

    return SpecialChars(settings)


SPECIAL_CHARS: Component[SpecialCharsSettings, NoRuntime, Postprocessor] = Component(
    name="special_chars",
    summary="Strip answers, mend lone halves of brackets and quotes, remove characters",
    settings=SpecialCharsSettings,
    build=_build_special_chars,
)


@hookimpl
def qakit_register_postprocessors() -> Iterable[Component[Any, Any, Any]]:
    """The postprocessors of this package."""
    return (SPECIAL_CHARS,)
