"""The learning rate as a pure function of the step, so that resuming needs no scheduler state."""

from __future__ import annotations

import math
from typing import Literal

from qakit.recipe.model import TrainSection
from qakit.training.averaging import averaged_from


def warmup_steps(warmup: float, total: int) -> int:
    """Steps of warmup: a number of steps, or below 1 a share of all steps."""
    return round(warmup * total) if warmup < 1 else int(warmup)


def step_factor(section: TrainSection, step: int, *, total: int, warmup: int) -> float:
    """What a recipe's peak rates are multiplied with in optimiser step ``step`` (counted from 0 to ``total - 1``).

    It is :func:`rate_factor`, but for the part of the training whose weights are averaged at a constant rate.
    """
    swa = section.swa
    if swa is not None and swa.learning_rate is not None and step >= averaged_from(swa, total):
        return swa.learning_rate / section.learning_rate
    return rate_factor(step, total=total, warmup=warmup, schedule=section.schedule)


def rate_factor(step: int, *, total: int, warmup: int, schedule: Literal["linear", "cosine", "constant"]) -> float:
    """What the peak rate is multiplied with in optimiser step ``step`` (counted from 0 to ``total - 1``).

    Warmup rises along a line to 1; then ``linear`` falls to 0 at ``total``, ``cosine`` along a half cosine
    (Loshchilov & Hutter, SGDR, 2017, without restarts), ``constant`` stays. No step has rate 0.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    remaining = (total - step) / max(1, total - warmup)
    return remaining if schedule == "linear" else (1 - math.cos(math.pi * remaining)) / 2
