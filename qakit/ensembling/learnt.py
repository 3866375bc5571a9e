"""Weights and temperatures as an ensembler's pool has learnt them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qakit.errors import PluginError

ROUNDING = 1e-3
"""How far the sum of learnt weights may be from 1."""


def learnt_values(found: Any, *, members: int, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What ``learn`` of a pool of M members returned: weights and temperatures, (M,) each, as plain numbers.

    Lists and numpy arrays will do.

    Args:
        members: M.
        name: the ensembler, for the message.

    Raises:
        PluginError: they are not M finite numbers each, a weight is negative or a temperature not above 0, or the
            weights do not sum to 1.
    """
    what = f"`learn` of the ensembler {name!r}"
    try:
        weights, temperatures = (tuple(map(float, part)) for part in found)
    except (TypeError, ValueError):
        given = "None" if found is None else type(found).__name__
        raise PluginError(
            f"{what} must return weights and temperatures, a number for each member; it returned {given}"
        ) from None
    for values, each, allowed, wanted in (
        (weights, "weights", _not_negative, "finite numbers from 0 up"),
        (temperatures, "temperatures", _positive, "finite numbers above 0"),
    ):
        if len(values) != members:
            raise PluginError(f"{what} returned {len(values)} {each} for {members} members: {_shown(values)}")
        if not allowed(values):
            raise PluginError(f"{what} returned {each} that are not {wanted}: {_shown(values)}")
    if abs(math.fsum(weights) - 1) > ROUNDING:
        raise PluginError(f"{what} returned weights that sum to {math.fsum(weights):g}, not 1: {_shown(weights)}")
    return weights, temperatures


def _not_negative(values: Sequence[float]) -> bool:
    return all(0 <= value < math.inf for value in values)


def _positive(values: Sequence[float]) -> bool:
    return all(0 < value < math.inf for value in values)


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"
