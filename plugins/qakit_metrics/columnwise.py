"""Metrics for several numbers of each text: the mean of what each column of numbers has."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from qakit.api import (
    DataError,
    Example,
    Targets,
    UsageError,
    columnwise_auc,
    columnwise_rmse,
    columnwise_spearman,
    parse_targets,
)
from qakit_metrics.classification import Drawn, Float64, number_in

Figure = Callable[[Float64, Float64, Float64], tuple[Float64, Float64]]


def build_spearman() -> Drawn:
    """Mean of the columns' rank correlations."""
    return Drawn("spearman", partial(_figures, columnwise_spearman, "spearman", 100.0))


def build_auc() -> Drawn:
    """Mean of the columns' areas under the ROC curve; gold numbers are 0 or 1."""
    return Drawn("auc", partial(_figures, columnwise_auc, "auc", 100.0))


def build_rmse() -> Drawn:
    """Mean of the columns' root mean squared errors, negative: the largest figure is the best one."""
    return Drawn("negative_rmse", partial(_figures, columnwise_rmse, "negative_rmse", -1.0))


def _figures(
    figure: Figure, name: str, scale: float, examples: Sequence[Example], answers: Sequence[str], counts: Float64
) -> dict[str, Float64]:
    names = _names(examples)
    gold = np.array([_gold(example, names) for example in examples])
    if figure is columnwise_auc and not np.isin(gold[~np.isnan(gold)], (0.0, 1.0)).all():
        raise UsageError("this metric wants gold numbers that are 0 or 1, and some are others")
    given = np.array([_given(example, answer, names) for example, answer in zip(examples, answers, strict=True)])
    mean, columns = figure(gold, given, counts)
    return {name: scale * mean, "columns": columns}


def _names(examples: Sequence[Example]) -> tuple[str, ...] | None:
    """What the numbers are called; None for one that has no name."""
    label = examples[0].label if examples else None
    return label.names if isinstance(label, Targets) else None


def _gold(example: Example, names: tuple[str, ...] | None) -> list[float]:
    label = example.label
    if isinstance(label, Targets) and label.names == names:
        return list(label)
    if names is None and isinstance(label, float | int):
        return [float(label)]
    what = "has no label" if label is None else f"is labelled with {str(label)!r:.60}"
    wanted = f"the numbers {', '.join(names)}" if names else "numbers"
    raise UsageError(f"this metric compares {wanted}, but the example {example.id!r} {what}")


def _given(example: Example, answer: str, names: tuple[str, ...] | None) -> list[float]:
    if names is not None:
        found = parse_targets(answer)
        held = {} if found is None else found.by_name()
        numbers = [held.get(name, math.nan) for name in names]
    else:
        numbers = [number_in(answer)]
    if not all(map(math.isfinite, numbers)):
        what = f"the prediction {answer[:60]!r} has not the example's numbers" if answer else "there is no prediction"
        raise DataError(what, row=f"id {example.id}")
    return numbers
