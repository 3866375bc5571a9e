"""The settings of the heads, as recipes write them."""

from __future__ import annotations

from pydantic import Field

from qakit.api import Settings


class SpanSettings(Settings):
    """What every span head can be told; everything is off by default."""

    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Dropout before the linear layer. None by default, as in BERT's own question answering: the "
        "backbone's last layer ends in dropout already.",
    )


class LinearSpanSettings(SpanSettings):
    """Settings of ``linear_span``."""
