"""GLUE's figures for classes and numbers, of one set of examples or of many draws from it at once.

``counts`` (R, N) says how often each of N examples is in each of R draws: a row of ones is the set itself, and the rows
of a bootstrap are resamples. Figures are between -1 and 1, (R,) float64; where one is not defined (nothing varies, a
class is missing) it is 0, as GLUE's own scripts count it.

Sources: Wang et al. 2019, "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding";
Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEARLY_CONSTANT = 1e-13
"""Values whose spread is less than this share of their size don't vary: the rest is rounding."""


def accuracy(right: NDArray[np.bool_], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the examples that are right; ``right`` (N,)."""
    shares: NDArray[np.float64] = counts @ right.astype(float) / counts.sum(1)
    return shares


def confusion(
    gold: NDArray[np.int64], given: NDArray[np.int64], counts: NDArray[np.float64], *, classes: int
) -> NDArray[np.float64]:
    """(R, C, C) how many examples of each gold class (rows) were given each class (columns); codes (N,) below C."""
    import numpy as np

    cell = gold * classes + given
    used, place = np.unique(cell, return_inverse=True)
    indicator = np.zeros((len(cell), len(used)))
    indicator[np.arange(len(cell)), place] = 1.0
    table = np.zeros((len(counts), classes * classes))
    table[:, used] = counts @ indicator
    return table.reshape(-1, classes, classes)


def matthews(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matthews' correlation of a :func:`confusion`, for two classes or more."""
    import numpy as np

    total = table.sum((1, 2))
    gold, given = table.sum(2), table.sum(1)
    covariance = np.trace(table, axis1=1, axis2=2) * total - (gold * given).sum(1)
    spread = (total**2 - (gold**2).sum(1)) * (total**2 - (given**2).sum(1))
    return _ratio(covariance, np.sqrt(spread))


def f1_by_class(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, C) each class's F1 of a :func:`confusion`."""
    import numpy as np

    right = np.diagonal(table, axis1=1, axis2=2)
    return _ratio(2 * right, table.sum(1) + table.sum(2))


def quadratic_kappa(table: NDArray[np.float64], grades: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) Cohen's kappa with quadratic weights of R tables (R, C, C), gold by given, of classes with ``grades`` (C,).

    Source: Cohen 1968, "Weighted kappa". 0 where nothing could disagree.
    """
    import numpy as np

    weight = (grades[:, None] - grades) ** 2
    by_chance = table.sum(2)[:, :, None] * table.sum(1)[:, None, :] / np.maximum(table.sum((1, 2)), 1)[:, None, None]
    expected = (weight * by_chance).sum((1, 2))
    return np.where(expected > 0, 1 - _ratio((weight * table).sum((1, 2)), expected), 0.0)


def pearson(
    first: NDArray[np.float64], second: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pearson's correlation of two (N,)."""
    return _correlation(first[None], second[None], counts)


def spearman(
    first: NDArray[np.float64], second: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spearman's correlation of two (N,); equal values share their mean rank."""
    return _correlation(ranks(first, counts), ranks(second, counts), counts)


def ranks(values: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, N) each value's mean rank in each draw; of a value that was not drawn, some number."""
    import numpy as np

    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    begin = np.searchsorted(place[order], np.arange(len(distinct)))
    drawn = np.add.reduceat(counts[:, order], begin, axis=1)  # (R, distinct)
    ranks: NDArray[np.float64] = (drawn.cumsum(1) - (drawn - 1) / 2)[:, place]
    return ranks


def _correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pearson's correlation of two (R, N) or (1, N)."""
    import numpy as np

    def centred(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        away = values - ((counts * values).sum(1) / counts.sum(1))[:, None]
        spread = np.sqrt((counts * away**2).sum(1))
        size = np.sqrt((counts * values**2).sum(1))
        return away, np.where(spread <= NEARLY_CONSTANT * size, 0.0, spread)

    one, spread = centred(first)
    other, spread_of_other = centred(second)
    found = _ratio((counts * one * other).sum(1), spread * spread_of_other)
    return np.clip(found, -1.0, 1.0)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 where nothing can be divided by."""
    import numpy as np

    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
