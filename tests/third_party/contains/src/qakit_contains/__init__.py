"""A metric for qakit: answers that hold a gold answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Component, Metric, NoRuntime, Settings, hookimpl


class ContainsSettings(Settings):
    """Settings of ``contains``."""

    ignore_case: bool = Field(default=True, description="Whether upper and lower case are the same.")


CONTAINS: Component[ContainsSettings, NoRuntime, Metric] = Component(
    name="contains",
    summary="Answers that hold a gold answer",
    settings=ContainsSettings,
    build="qakit_contains.metric:Contains",
)


@hookimpl
def qakit_register_metrics() -> Iterable[Component[Any, Any, Any]]:
    """The metrics of this package."""
    return [CONTAINS]
