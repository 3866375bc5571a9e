"""What a training gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qakit.errors import RunError
from qakit.runs import Run

if TYPE_CHECKING:
    from qakit.ensembling.combine import Ensemble
    from qakit.report.pipeline import Expectation
    from qakit.values import Prediction


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A run with its figures. Of folds, a pipeline or an ensemble: the whole."""

    run: Run
    metrics: Mapping[str, Any]
    """What ``metrics.json`` holds; empty while folds are missing."""
    missing: tuple[int, ...] = ()
    """Folds that are not trained yet, counted from 1."""
    expectation: Expectation | None = None
    """Of a pipeline with validation: its stages' shares and where answers are lost."""
    ensemble: Ensemble | None = None
    """Of an ensemble: its members, their weights, and what each adds."""

    def __fspath__(self) -> str:
        """The folder: the result stands for its run wherever a path does."""
        return str(self.run.folder)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.run.folder

    @property
    def figures(self) -> Mapping[str, float]:
        """The metric's figures on validation, of folds out of fold; empty without validation."""
        return self.metrics.get("validation") or {}

    @property
    def submission(self) -> Path | None:
        """The answers to the test file, as the recipe's writer writes them; None without a test file."""
        return self.run.submission_file(self.metrics)

    def predictions(self, split: Literal["validation", "test"] = "validation") -> tuple[Prediction, ...]:
        """The predictions that the run keeps, in the order of the questions.

        Raises:
            RunError: it has none of this split.
        """
        from qakit.inference.nbest_file import read_nbest

        file = self.run.validation_nbest if split == "validation" else self.run.predictions / "nbest.jsonl"
        if not file.is_file():
            raise RunError(f"{self.folder} has no predictions of a {split} file")
        return tuple(read_nbest(file))
