"""Heads: loss, scores and decoding on top of a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Head, HeadRuntime, hookimpl
from qakit_heads.settings import LinearSpanSettings


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
