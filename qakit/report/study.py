"""A study's results: rows over their seeds, what differs, and which differences can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from qakit.statistics import Difference, Sampling, Spread

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe


@dataclass(frozen=True, slots=True)
class StudyRun:
    name: str
    """Of its run folder."""
    state: str
    task: str
    row: str
    seed: int
    figures: Mapping[str, float]
    """On validation, of the best weights; empty unless it is finished."""
    seconds: float | None
    peak_memory_mb: float | None
    trainable: int | None
    total: int | None
    error: str
    folder: Path | None
    """Its run folder, where that is on this machine."""
    recipe: Recipe | None
    """As far as the run folder is here."""
    log: tuple[Mapping[str, Any], ...]
    """The lines of metrics.jsonl."""


@dataclass(frozen=True, slots=True)
class StudyRow:
    """The finished runs of one variant."""

    label: str
    differs: Mapping[str, str]
    """Recipe values that are not the same in all rows, by dotted key."""
    runs: tuple[StudyRun, ...]
    figures: Mapping[str, Spread]

    @property
    def trainable(self) -> int | None:
        """Parameters that were trained."""
        return next((run.trainable for run in self.runs if run.trainable is not None), None)

    @property
    def total(self) -> int | None:
        """Parameters of the whole model."""
        return next((run.total for run in self.runs if run.total is not None), None)

    @property
    def seconds(self) -> float | None:
        """Of a training, the mean over the seeds."""
        return _mean([run.seconds for run in self.runs])

    @property
    def peak_memory_mb(self) -> float | None:
        """The largest of the seeds."""
        return max((run.peak_memory_mb for run in self.runs if run.peak_memory_mb is not None), default=None)


@dataclass(frozen=True, slots=True)
class RowDifference:
    """Two rows' difference in one figure: ``first - second``."""

    first: str
    second: str
    figure: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class StudyTask:
    """One recipe of the study with its rows."""

    name: str
    """Empty where the study has just one recipe."""
    figure: str
    """The one that decides."""
    keys: tuple[str, ...]
    """Figures that are shown, the deciding one first."""
    rows: tuple[StudyRow, ...]
    differences: tuple[RowDifference, ...]
    questions: int
    """That the differences are paired by; 0 where there are none."""


@dataclass(frozen=True, slots=True)
class StudyResults:
    """All that a report shows."""

    name: str
    description: str
    commands: tuple[tuple[str, ...], ...]
    runs: tuple[StudyRun, ...]
    tasks: tuple[StudyTask, ...]
    is_search: bool
    sampling: Sampling
    notes: tuple[str, ...]

    def count(self, state: str) -> int:
        """How many trials are in a state."""
        return sum(run.state == state for run in self.runs)

    def as_json(self) -> dict[str, Any]:
        """The tables as plain values, for programs."""
        return {
            "study": self.name,
            "description": self.description,
            "tasks": [
                {
                    "task": task.name,
                    "figure": task.figure,
                    "rows": [
                        {
                            "row": row.label,
                            "differs": dict(row.differs),
                            "runs": [run.name for run in row.runs],
                            "figures": {key: asdict(spread) for key, spread in row.figures.items()},
                            "trainable": row.trainable,
                            "total": row.total,
                            "seconds": row.seconds,
                            "peak_memory_mb": row.peak_memory_mb,
                        }
                        for row in task.rows
                    ],
                    "differences": [
                        {
                            "first": each.first,
                            "second": each.second,
                            "figure": each.figure,
                            "distinguishable": each.difference.distinguishable,
                            **asdict(each.difference),
                        }
                        for each in task.differences
                    ],
                }
                for task in self.tasks
            ],
            "trials": [
                {"run": run.name, "state": run.state, "figures": dict(run.figures), "error": run.error}
                for run in self.runs
            ],
            "notes": list(self.notes),
        }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
