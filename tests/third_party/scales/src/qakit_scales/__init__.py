"""An adapter for qakit: trained factors for what linear layers give, as in IA3."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Adapter, Component, NoRuntime, Settings, hookimpl


class ScalesSettings(Settings):
    """Settings of ``scales``."""

    targets: tuple[str, ...] = Field(
        default=("key", "value"), min_length=1, description="The linear layers, by the last part of their names."
    )
    rate: float = Field(default=10.0, gt=0, description="The factors' learning rate, as a multiple of the recipe's.")


SCALES: Component[ScalesSettings, NoRuntime, Adapter] = Component(
    name="scales",
    summary="Factors for what linear layers give (Liu et al. 2022); the backbone stays as it is",
    settings=ScalesSettings,
    build="qakit_scales.adapter:Scales",
)


@hookimpl
def qakit_register_adapters() -> Iterable[Component[Any, Any, Any]]:
    """The adapters of this package."""
    return [SCALES]
