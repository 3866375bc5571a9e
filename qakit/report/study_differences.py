"""Differences between a study's rows, by paired bootstrap over the validation questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.report.compare import Plan, columns_of
from qakit.report.compare_runs import read_members
from qakit.report.study import RowDifference
from qakit.statistics import mean_of

if TYPE_CHECKING:
    from qakit.registry import Registry


def row_differences(
    rows: Mapping[str, Sequence[Path]],
    baseline: str,
    keys: Sequence[str],
    registry: Registry,
    *,
    resamples: int,
    seed: int,
) -> tuple[list[RowDifference], int]:
    """Each row's difference from the baseline in each figure, and the number of questions.

    A row's figure is the mean over its seeds, by question or by draw.

    Raises:
        UsageError, RunError, DataError: the runs did not answer the same questions, or lack predictions.
    """
    plan = Plan(resamples=resamples, seed=seed)
    members = read_members([folder for of_row in rows.values() for folder in of_row], registry)
    columns = iter([columns_of(member, plan) for member in members])
    of_rows = {label: [next(columns) for _ in of_row] for label, of_row in rows.items()}
    known = [key for key in keys if key in of_rows[baseline][0]]
    means = {label: {key: mean_of([run[key] for run in runs]) for key in known} for label, runs in of_rows.items()}
    found = [
        RowDifference(label, baseline, key, means[label][key].minus(means[baseline][key], plan.sampling))
        for label in rows
        if label != baseline
        for key in known
    ]
    first = members[0]
    return found, first.questions or len(next(iter(first.figures.values())))
