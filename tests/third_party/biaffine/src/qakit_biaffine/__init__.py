"""A head for qakit: a score for each pair of a start and an end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Component, Head, HeadRuntime, Settings, hookimpl


class BiaffineSettings(Settings):
    """Settings of ``biaffine_span``."""

    width: int = Field(default=150, ge=1, le=4096, description="Size of a start's vector and of an end's.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout before and after these vectors' layers.")


BIAFFINE_SPAN: Component[BiaffineSettings, HeadRuntime, Head] = Component(
    name="biaffine_span",
    summary="Scores of all pairs of a start and an end (Dozat and Manning 2017; Yu et al. 2020)",
    settings=BiaffineSettings,
    build="qakit_biaffine.head:BiaffineSpan",
)


@hookimpl
def qakit_register_heads() -> Iterable[Component[Any, Any, Any]]:
    """The heads of this package."""
    return [BIAFFINE_SPAN]
