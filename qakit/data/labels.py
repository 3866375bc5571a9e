"""Class names and regression targets as numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from qakit.data.arrays import Float32
from qakit.errors import DataError
from qakit.values import Example, SpeltClass, TargetNames, Targets, as_written


def classes_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """The class names of labelled examples, sorted (numbers by value); empty if the labels are numbers, or none.

    Where each text has several numbers, these are their names.

    Raises:
        DataError: some labels are class names and some are numbers, or some have other numbers than others.
    """
    found = [example.label for example in examples if example.label is not None]
    several = dict.fromkeys(label.names if isinstance(label, Targets) else None for label in found)
    if len(several) > 1:
        raise DataError("some texts have other numbers than others; the reader must give all of them the same ones")
    if (targets := next(iter(several), None)) is not None:
        return targets
    names = {label for label in found if isinstance(label, str)}
    if names and len(names) < len(set(found)):
        raise DataError("some labels are class names and others are numbers; the reader must give one kind")
    return spelt_as(sorted(names, key=_order), examples)


def run_classes(named: Sequence[str] | None, examples: Sequence[Example]) -> tuple[str, ...]:
    """The classes that a recipe names, else those of the examples; either as most of these are spelt.

    Raises:
        DataError: as :func:`classes_of`.
    """
    return spelt_as(named, examples) if named else classes_of(examples)


def spelt_as(classes: Sequence[str], examples: Sequence[Example]) -> tuple[str, ...]:
    """The classes, each in the spelling that most of the examples have of it; of equals the first."""
    spellings: dict[str, Counter[str]] = {name: Counter() for name in classes}
    for example in examples:
        if isinstance(example.label, str) and example.label in spellings:
            spellings[example.label][as_written(example.label)] += 1
    most = {name: count.most_common(1)[0][0] if count else as_written(name) for name, count in spellings.items()}
    return tuple(name if most[name] == name else SpeltClass(name, most[name]) for name in map(str, classes))


def label_numbers(examples: Sequence[Example], classes: Sequence[str]) -> Float32:
    """(N,) each example's place in ``classes``, or its number if there are no classes; NaN without a label.

    (N, K) where ``classes`` are the names of K numbers: these numbers, in their order.

    Raises:
        DataError: a label is none of the classes, has not these numbers, or is too large a number.
    """
    if isinstance(classes, TargetNames):
        rows = [_numbers(example, classes) for example in examples]
        return np.array(rows, np.float32).reshape(len(examples), len(classes))
    places = {name: float(place) for place, name in enumerate(classes)}
    return np.fromiter((_number(example, places) for example in examples), np.float32, count=len(examples))


_LARGEST = float(np.finfo(np.float32).max)


def _number(example: Example, places: dict[str, float]) -> float:
    label = example.label
    if label is None or (isinstance(label, str | Targets) and not places):
        return math.nan
    if not places and isinstance(label, float | int):
        return _held(label, example)
    if not isinstance(label, str) or label not in places:
        known = ", ".join(list(places)[:10]) + (", ..." if len(places) > 10 else "")
        raise DataError(f"the label {label!r} is none of the run's classes: {known}", row=f"id {example.id}")
    return places[label]


def _numbers(example: Example, names: TargetNames) -> list[float]:
    label = example.label
    if label is None:
        return [math.nan] * len(names)
    held = label.by_name() if isinstance(label, Targets) else {}
    if held.keys() != set(names):
        wanted = f"the run's numbers: {', '.join(names)}"
        raise DataError(f"the label {label!s:.60} has not {wanted}", row=f"id {example.id}")
    return [_held(held[name], example) for name in names]


def _held(number: float, example: Example) -> float:
    if abs(float(number)) > _LARGEST:
        raise DataError(f"the label {number:g} is larger than training's numbers of 32 bits", row=f"id {example.id}")
    return float(number)


def _order(name: str) -> tuple[int, float, str]:
    with suppress(ValueError):
        if math.isfinite(number := float(name)):  # a class may be called "NaN", which is before and after every number
            return 0, number, name
    return 1, 0.0, name
