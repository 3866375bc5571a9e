"""What all metrics ask of their gold examples."""

from __future__ import annotations

from collections.abc import Sequence

from qakit.errors import DataError
from qakit.values import Example


def gold_texts(example: Example) -> tuple[str, ...]:
    """The distinct gold answers in file order; ``()`` for an unanswerable question. Places do not matter here.

    Raises:
        DataError: the example is unlabelled.
    """
    if example.answers is None:
        raise DataError("has no gold answer, so it cannot be scored; give a labelled file", row=f"id {example.id}")
    return tuple(dict.fromkeys(answer.text for answer in example.answers))


def mean_percent(values: Sequence[float], total: int) -> float:
    """100 x sum / total, in the official scripts' order of operations.

    Raises:
        DataError: there is nothing to take the mean of.
    """
    if not total:
        raise DataError("no gold question to score against")
    return 100.0 * sum(values) / total
