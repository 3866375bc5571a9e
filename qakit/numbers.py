"""Numbers in JSON documents that somebody else may have written."""

from __future__ import annotations

import json
import math
from typing import Any

from qakit.values import Targets

LARGEST = 2**63
"""No count, seed or size in a file of ours is larger; larger ones overflow wherever they are calculated with."""


def finite(value: object) -> float:
    """A JSON value as a number.

    Raises:
        ValueError: it is none, as a boolean is, or it is NaN, infinite or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r:.40} is no number")
    if not (abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value)):
        raise ValueError(f"{value!r:.40} is no finite number")
    return float(value)


def finite_or_none(value: object) -> float | None:
    """The same; None for what is no such number."""
    try:
        return finite(value)
    except ValueError:
        return None


def targets_of(value: object) -> Targets | None:
    """A JSON object of finite numbers, name -> number; None for anything else."""
    if not isinstance(value, dict) or not value:
        return None
    numbers = [number for number in map(finite_or_none, value.values()) if number is not None]
    return Targets(numbers, value) if len(numbers) == len(value) else None


def parse_targets(text: str) -> Targets | None:
    """Several numbers as :meth:`Targets.__str__` writes them; None for other text, or where one is not known."""
    try:
        return targets_of(json.loads(text))
    except (ValueError, RecursionError):
        return None


def load_json(text: str | bytes) -> Any:
    """Parse JSON without integers that overflow, and without a stack that does.

    Raises:
        ValueError: it is no JSON, has such an integer, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_int=_bounded)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _bounded(digits: str) -> int:
    if len(digits) > len(str(LARGEST)) + 1 or abs(int(digits)) > LARGEST:
        raise ValueError(f"the number {digits[:20]}... has {len(digits):,} digits")
    return int(digits)
