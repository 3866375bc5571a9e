"""The ensemble recipe: which runs are combined and how, as frozen pydantic models."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qakit.recipe.model import PluginRef, RecipePath, Section


class EnsembleSection(Section):
    """The members and how they are combined."""

    members: Annotated[list[RecipePath], Field(min_length=1)]
    """Run folders, also by patterns (`../runs/seed-*`), or files of answers."""
    method: PluginRef = PluginRef(name="voting")
    """How they are combined (`qakit plugins --kind ensemblers`)."""
    weights: Literal["equal", "learn"] | list[Annotated[float, Field(ge=0)]] = "equal"
    """One number for each member, in their order; `learn`: what suits the runs' validation predictions."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the halves that learnt weights are judged on, and of the bootstrap."""

    @model_validator(mode="after")
    def _some_weight(self) -> EnsembleSection:
        if isinstance(self.weights, list) and not 0 < math.fsum(self.weights) < math.inf:
            raise ValueError("weights: at least one must be above 0")
        return self


class EnsembleRecipe(Section):
    """Several runs as one."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the ensemble's folder; by default the recipe file's name."""
    description: str = ""
    """One line for lists."""
    ensemble: EnsembleSection
