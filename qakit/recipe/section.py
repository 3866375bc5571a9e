"""What all sections of a recipe are, and values that several of them hold."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

Every = Literal["epoch"] | PositiveInt
"""At the end of each epoch, or after every so many optimiser steps."""


class Section(BaseModel):
    """Base of every recipe section: frozen, unknown keys are errors. The string below a field documents it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
