"""The tricks of a recipe, as the loop meets them."""

from __future__ import annotations

from dataclasses import dataclass

from qakit.training.adversarial import Attack
from qakit.training.averaging import WeightAverage
from qakit.training.freezing import Freezing


@dataclass(frozen=True, slots=True)
class Tricks:
    """What a training does beside its plain steps."""

    average: WeightAverage | None = None
    """Of the weights that train, updated with each step."""
    attack: Attack | None = None
    """What the adversarial pass of each step moves."""
    freezing: Freezing | None = None
    """What does not train yet."""
