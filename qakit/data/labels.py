"""Class names and regression targets as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qakit.errors import DataError
from qakit.values import Example

Float32 = NDArray[np.float32]


def classes_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """The class names of labelled examples, sorted (numbers by value); empty if the labels are numbers, or none.

    Raises:
        DataError: some labels are class names and some are numbers.
    """
    found = {example.label for example in examples if example.label is not None}
    names = {label for label in found if isinstance(label, str)}
    if names and len(names) < len(found):
        raise DataError("some labels are class names and others are numbers; the reader must give one kind")
    return tuple(sorted(names, key=_order))


def label_numbers(examples: Sequence[Example], classes: Sequence[str]) -> Float32:
    """(N,) each example's place in ``classes``, or its number if there are no classes; NaN without a label.

    Raises:
        DataError: a label is none of the classes.
    """
    places = {name: float(place) for place, name in enumerate(classes)}
    return np.fromiter((_number(example, places) for example in examples), np.float32, count=len(examples))


def _number(example: Example, places: dict[str, float]) -> float:
    label = example.label
    if label is None or (isinstance(label, str) and not places):
        return math.nan
    if not places:
        return float(label)
    if not isinstance(label, str) or label not in places:
        known = ", ".join(list(places)[:10]) + (", ..." if len(places) > 10 else "")
        raise DataError(f"the label {label!r} is none of the run's classes: {known}", row=f"id {example.id}")
    return places[label]


def _order(name: str) -> tuple[int, float, str]:
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name
