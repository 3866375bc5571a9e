"""An example plugin for qakit: two heads, a preprocessor and a postprocessor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, PositiveInt

from qakit.api import (
    Component,
    Head,
    HeadRuntime,
    NoRuntime,
    Postprocessor,
    Preprocessor,
    Settings,
    WindowRuntime,
    hookimpl,
)


class MlpSettings(Settings):
    """Settings of ``mlp_span`` and ``mlp_label``."""

    width: PositiveInt = Field(default=128, description="Size of the hidden layer.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout before the hidden layer.")


class EvenWindowsSettings(Settings):
    """Settings of ``even_windows``."""

    overlap: int = Field(default=64, ge=0, description="Neighbouring windows share at least this many tokens.")


class TrimPunctuationSettings(Settings):
    """Settings of ``trim_punctuation``."""

    characters: str = Field(default=" ,.;:!?，。；：！？、", description="Characters removed at both ends.")


def build_trim_punctuation(settings: TrimPunctuationSettings, runtime: NoRuntime) -> Postprocessor:
    """Removes punctuation around an answer; `build` may be a function, too."""
    from qakit_example.trim import TrimPunctuation

    return TrimPunctuation(settings.characters)


# Torch and numpy are imported when a recipe uses the component, not when qakit starts: `build` is a string.
MLP_SPAN: Component[MlpSettings, HeadRuntime, Head] = Component(
    name="mlp_span",
    summary="Start and end scores from a hidden layer with GELU",
    settings=MlpSettings,
    build="qakit_example.head:MlpSpan",
)
MLP_LABEL: Component[MlpSettings, HeadRuntime, Head] = Component(
    name="mlp_label",
    summary="A class or a number from a hidden layer with GELU",
    settings=MlpSettings,
    build="qakit_example.label:MlpLabel",
)
EVEN_WINDOWS: Component[EvenWindowsSettings, WindowRuntime, Preprocessor] = Component(
    name="even_windows",
    summary="As few full windows as cover the context, spread evenly over it",
    settings=EvenWindowsSettings,
    build="qakit_example.windows:EvenWindows",
)
TRIM_PUNCTUATION: Component[TrimPunctuationSettings, NoRuntime, Postprocessor] = Component(
    name="trim_punctuation",
    summary="Removes punctuation and spaces at both ends of an answer",
    settings=TrimPunctuationSettings,
    build=build_trim_punctuation,
)


@hookimpl
def qakit_register_heads() -> Iterable[Component[Any, Any, Any]]:
    """The heads of this package."""
    return [MLP_SPAN, MLP_LABEL]


@hookimpl
def qakit_register_preprocessors() -> Iterable[Component[Any, Any, Any]]:
    """The preprocessors of this package."""
    return [EVEN_WINDOWS]


@hookimpl
def qakit_register_postprocessors() -> Iterable[Component[Any, Any, Any]]:
    """The postprocessors of this package."""
    return [TRIM_PUNCTUATION]
