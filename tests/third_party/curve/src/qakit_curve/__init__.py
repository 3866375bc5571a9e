"""An observer for qakit: a line of JSON for each evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Component, Observer, ObserverRuntime, Settings, hookimpl


class CurveSettings(Settings):
    """Settings of ``curve``."""

    file: str = Field(default="curve.jsonl", pattern=r"^[a-z0-9_-]+\.jsonl$", description="Its name in the run.")


CURVE: Component[CurveSettings, ObserverRuntime, Observer] = Component(
    name="curve",
    summary="A line of JSON for each evaluation",
    settings=CurveSettings,
    build="qakit_curve.observer:Curve",
)


@hookimpl
def qakit_register_observers() -> Iterable[Component[Any, Any, Any]]:
    """The observers of this package."""
    return [CURVE]
