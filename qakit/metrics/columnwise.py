"""Figures of several numbers of each text: one for each column of numbers, then the mean of the columns.

``counts`` (R, N) as in :mod:`qakit.metrics.classification`. Gold numbers (N, K) that are NaN are not known and don't
count. A column counts where its figure is defined: correlation and AUC need gold numbers that are not all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qakit.metrics.classification import ranks, spearman

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
    """From gold and given numbers (N,) and counts (R, N) to each draw's figure, (R,); NaN where it is not defined."""


def columnwise_spearman(
    gold: NDArray[np.float64], given: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the columns' rank correlations, -1 to 1, and how many columns it is of; (R,) each.

    A column whose given numbers are all the same has 0. Kaggle's Google QUEST Q&A Labeling (2019) is scored so.
    """
    return _mean_of_columns(_spearman, gold, given, counts)


def columnwise_auc(
    gold: NDArray[np.float64], given: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the columns' areas under the ROC curve, 0 to 1, and how many columns it is of; (R,) each.

    Gold numbers are 0 or 1. Kaggle's Toxic Comment Classification (2018) is scored so.
    """
    return _mean_of_columns(_auc, gold, given, counts)


def columnwise_rmse(
    gold: NDArray[np.float64], given: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the columns' root mean squared errors (MCRMSE), and how many columns it is of; (R,) each.

    Kaggle's Feedback Prize - English Language Learning (2022) and CommonLit (2023) are scored so.
    """
    return _mean_of_columns(_rmse, gold, given, counts)


def _mean_of_columns(
    figure: Column, gold: NDArray[np.float64], given: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    total, columns = np.zeros((2, len(counts)))
    for own, answer in zip(gold.T, given.T, strict=True):
        known = ~np.isnan(own)
        values = figure(own[known], answer[known], counts[:, known])
        defined = ~np.isnan(values)
        total += np.where(defined, values, 0.0)
        columns += defined
    return total / np.maximum(columns, 1), columns


def _spearman(
    gold: NDArray[np.float64], given: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    import numpy as np

    drawn = counts > 0
    lowest = np.where(drawn, gold, np.inf).min(1, initial=np.inf)
    highest = np.where(drawn, gold, -np.inf).max(1, initial=-np.inf)
    values = np.full(len(counts), np.nan)
    varied = lowest < highest
    values[varied] = spearman(gold, given, counts[varied])
    return values


def _auc(gold: NDArray[np.float64], given: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """By the ranks of the positive ones (Mann and Whitney 1947); equal numbers share their mean rank."""
    import numpy as np

    positive = counts * (gold == 1)
    of_positive, of_negative = positive.sum(1), (counts * (gold == 0)).sum(1)
    pairs = of_positive * of_negative
    if not pairs.any():
        return np.full(len(counts), np.nan)
    above = (positive * ranks(given, counts)).sum(1) - of_positive * (of_positive + 1) / 2
    areas: NDArray[np.float64] = np.divide(above, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
    return areas


def _rmse(gold: NDArray[np.float64], given: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    size = counts.sum(1)
    mean = np.divide(counts @ (gold - given) ** 2, size, out=np.full(len(counts), np.nan), where=size > 0)
    root: NDArray[np.float64] = np.sqrt(mean)
    return root
