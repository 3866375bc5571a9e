"""What a plugin hands to qakit: a named, described, buildable thing with typed settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

Kind = Literal["readers", "preprocessors", "adapters", "heads", "postprocessors", "ensemblers", "writers", "metrics"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The kinds of component, each with its hook ``qakit_register_<kind>``."""


class Settings(BaseModel):
    """Base of every settings model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class NoSettings(Settings):
    """For components without settings."""


SettingsT = TypeVar("SettingsT", bound=Settings)
RuntimeT = TypeVar("RuntimeT")
BuiltT = TypeVar("BuiltT", covariant=True)


@dataclass(frozen=True, slots=True)
class Component(Generic[SettingsT, RuntimeT, BuiltT]):
    """One reader, head, adapter ... that recipes can name.

    Declare it as a module constant, so that mypy sees when ``settings`` and ``build`` disagree::

        STRIDE: Component[StrideSettings, WindowRuntime, Preprocessor] = Component(
            name="stride", summary="...", settings=StrideSettings, build=build_stride)

    ``build`` is called with the validated settings and what the core knows at that point (the *runtime*: see
    :mod:`qakit.protocols`). Import heavy packages inside it, not at the top of the plugin's module.
    """

    name: str
    summary: str
    """One line without a full stop, shown by ``qakit plugins``."""
    settings: type[SettingsT]
    build: Callable[[SettingsT, RuntimeT], BuiltT]
    tries: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    """Settings that a search tries, one after the other (``qakit tune-postprocess``); without any, the defaults."""
