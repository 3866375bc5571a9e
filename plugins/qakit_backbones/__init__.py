"""Backbones: encoders that train from random weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Backbone, BackboneRuntime, Component, Settings, hookimpl


class DrqaSettings(Settings):
    """Settings of ``drqa``."""

    embedding: int = Field(default=128, ge=1, le=4096, description="Size of a token's embedding.")
    width: int = Field(default=128, ge=1, le=4096, description="Size of each direction of an LSTM.")
    layers: int = Field(default=2, ge=1, le=16, description="LSTMs, one above the other.")
    longest_match: int = Field(
        default=4,
        ge=1,
        le=16,
        description="Longer matches between question and context count as ones of so many tokens.",
    )
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout of the embeddings and after each LSTM.")


DRQA: Component[DrqaSettings, BackboneRuntime, Backbone] = Component(
    name="drqa",
    summary="BiLSTMs that are shown where the question's words stand in the context: learns without pretraining "
    "(Chen et al. 2017)",
    settings=DrqaSettings,
    build="qakit_backbones.drqa:Drqa",
)


@hookimpl
def qakit_register_backbones() -> Iterable[Component[Any, Any, Any]]:
    """The backbones of this package."""
    return [DRQA]
