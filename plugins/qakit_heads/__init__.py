"""Heads: loss, scores and decoding on top of a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Component, Head, HeadRuntime, Settings, hookimpl


class LinearSpanSettings(Settings):
    """Settings of ``linear_span``."""

    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Dropout before the linear layer. None by default, as in BERT's own question answering: the "
        "backbone's last layer ends in dropout already.",
    )


def build_linear_span(settings: LinearSpanSettings, runtime: HeadRuntime) -> Head:
    """Independent scores for the answer's first and last token."""
    from qakit_heads.linear_span import LinearSpan

    return LinearSpan(settings, runtime)


LINEAR_SPAN: Component[LinearSpanSettings, HeadRuntime, Head] = Component(
    name="linear_span",
    summary="Start and end scores from one linear layer, exact n-best spans (BERT, Devlin et al. 2019)",
    settings=LinearSpanSettings,
    build=build_linear_span,
)


@hookimpl
def qakit_register_heads() -> Iterable[Component[Any, Any, Any]]:
    """The heads of this package."""
    return (LINEAR_SPAN,)
