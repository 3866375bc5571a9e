"""What may be said about ensembling."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator

from qakit.api import Settings


class VotingSettings(Settings):
    """Settings of ``voting``."""

    weights: tuple[float, ...] | None = Field(
        None, description="Votes of each member, in the members' order; by default one each."
    )
    ties: Literal["score", "first"] = Field(
        "score",
        description="Between answers with equal votes: `score` takes the one with the higher sum of (weighted) "
        "probabilities where the members know them; `first`, and everything else that is even, the earlier member's.",
    )

    @field_validator("weights")
    @classmethod
    def _usable(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and (any(not math.isfinite(weight) or weight < 0 for weight in value) or not any(value)):
            raise ValueError("weights must be numbers from 0 up, at least one above 0")
        return value
