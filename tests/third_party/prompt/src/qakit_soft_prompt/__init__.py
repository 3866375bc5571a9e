"""An adapter for qakit: trained vectors before the first token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Adapter, Component, NoRuntime, Settings, hookimpl


class SoftPromptSettings(Settings):
    """Settings of ``soft_prompt``."""

    vectors: int = Field(default=20, ge=1, description="How many; each takes a position from the window.")


SOFT_PROMPT: Component[SoftPromptSettings, NoRuntime, Adapter] = Component(
    name="soft_prompt",
    summary="Vectors before the first token (Lester et al. 2021); the backbone stays as it is",
    settings=SoftPromptSettings,
    build="qakit_soft_prompt.adapter:SoftPrompt",
)


@hookimpl
def qakit_register_adapters() -> Iterable[Component[Any, Any, Any]]:
    """The adapters of this package."""
    return [SOFT_PROMPT]
