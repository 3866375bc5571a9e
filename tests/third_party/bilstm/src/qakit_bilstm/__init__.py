"""A backbone for qakit: a BiLSTM over token ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Backbone, BackboneRuntime, Component, Settings, hookimpl


class BiLstmSettings(Settings):
    """Settings of ``bilstm``."""

    embedding: int = Field(default=300, ge=1, le=4096, description="Size of a token's embedding.")
    width: int = Field(default=256, ge=1, le=4096, description="Size of each direction; a token's vector has twice it.")
    layers: int = Field(default=2, ge=1, le=16, description="LSTMs, one above the other.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout before each layer.")


BILSTM: Component[BiLstmSettings, BackboneRuntime, Backbone] = Component(
    name="bilstm",
    summary="A bidirectional LSTM over the tokens (Schuster and Paliwal 1997)",
    settings=BiLstmSettings,
    build="qakit_bilstm.encoder:BiLstm",
)


@hookimpl
def qakit_register_backbones() -> Iterable[Component[Any, Any, Any]]:
    """The backbones of this package."""
    return [BILSTM]
