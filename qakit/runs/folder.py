"""The run folder: everything a training leaves behind, under names that do not change.

::

    runs/NAME-TIME/
      recipe.yaml        the resolved recipe, absolute paths
      meta.json          versions, data hashes, seed, parameter counts, commit
      metrics.jsonl      one line per logged step and per evaluation; deterministic, no clock times in it
      timings.jsonl      examples/s and seconds, beside it
      metrics.json       the final figures
      curves.png         loss and metrics over steps
      seen.safetensors   hashes of what it, and the runs that it builds on, were trained on
      broken-batch.json  only if training ended because numbers were no longer finite: the batch
      checkpoints/       until all is done: step-00000120/ ..., to resume
      soup/              while training, with train.soup: the best evaluated weights so far
      failure.json       only if a training ended with an error, until it is gone on with: the message
      model/             the best weights so far, loadable by transformers where it has the architecture
      predictions/       nbest.jsonl, meta.json, the submission, and characters.safetensors where the recipe keeps
                         character scores; validation/ likewise, with threshold.png where questions may have no
                         answer: the figures at every no-answer threshold; train/ and test/ by `qakit predict --split`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RunError
from qakit.files import check_readable
from qakit.names import plain_name
from qakit.numbers import load_json
from qakit.recipe.load import load_resolved
from qakit.recipe.model import Recipe

LOCK = ".lock"
"""The file in a run's folder that a process holds that is at work there."""
SEEN = "seen.safetensors"
"""What a run was trained on; also in a folder of weights that come from a run."""
FOLDS = "folds.json"
"""The file that makes a run folder one of folds."""
ENSEMBLE = "ensemble.json"
"""That of an ensemble: its members and how they are combined."""
MEMBERS = "members"
"""The folder of members that an ensemble has trained."""
PIPELINE = "pipeline.yaml"
"""The file that makes a run folder a pipeline's."""


_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""How a file is not there; asking before opening it would leave a training time to replace it in between."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder by its parts. The value holds only the path; nothing is read until asked."""

    folder: Path

    @property
    def recipe_file(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def meta_file(self) -> Path:
        return self.folder / "meta.json"

    @property
    def metrics_log(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def timings_log(self) -> Path:
        return self.folder / "timings.jsonl"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def finished(self) -> bool:
        """Whether all is done: ``metrics.json`` is written last of all."""
        return self.metrics_file.is_file()

    @property
    def curves_file(self) -> Path:
        return self.folder / "curves.png"

    @property
    def broken_batch_file(self) -> Path:
        return self.folder / "broken-batch.json"

    @property
    def failure_file(self) -> Path:
        return self.folder / "failure.json"

    @property
    def is_composed(self) -> bool:
        """Whether more stands behind its answers than its own recipe: an ensemble, or a pipeline of stages."""
        return self.is_ensemble or (self.folder / PIPELINE).is_file()

    @property
    def is_ensemble(self) -> bool:
        """Whether it is an ensemble."""
        return (self.folder / ENSEMBLE).is_file()

    @property
    def is_folds(self) -> bool:
        """Whether it holds folds."""
        return self.folds_file.is_file()

    @property
    def has_members(self) -> bool:
        """Whether several models answer for it, each by itself: an ensemble's, or those of folds."""
        return self.is_ensemble or self.is_folds

    @property
    def seen_file(self) -> Path:
        """What this run, and those that it builds on, were trained on."""
        return self.folder / SEEN

    @property
    def folds_file(self) -> Path:
        """In a folder of folds: how the examples were split."""
        return self.folder / FOLDS

    def fold(self, number: int) -> Run:
        """One of the folds of a folder of folds, counted from 1."""
        return Run(self.folder / f"fold-{number}")

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def soup(self) -> Path:
        return self.folder / "soup"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions"

    @property
    def validation_predictions(self) -> Path:
        return self.predictions / "validation"

    @property
    def validation_nbest(self) -> Path:
        return self.validation_predictions / "nbest.jsonl"

    @property
    def threshold_curve_file(self) -> Path:
        return self.validation_predictions / "threshold.png"

    @property
    def decision_file(self) -> Path:
        """What was tuned on validation: the no-answer threshold and the temperature."""
        return self.model / "decision.json"

    @property
    def name(self) -> str:
        return self.folder.name

    def recipe(self) -> Recipe:
        """The resolved recipe.

        Raises:
            RunError: the folder is not a run.
            RecipeError: its recipe no longer fits this version of qakit.
        """
        if not self.recipe_file.is_file():
            raise RunError(f"{self.folder} is not a run: it has no recipe.yaml (`qakit runs list` shows the runs)")
        return load_resolved(self.recipe_file)

    def read_json(self, file: Path) -> dict[str, Any]:
        """One of the run's JSON files; empty if it is not there yet.

        Raises:
            RunError: it is damaged, or may not be read.
        """
        check_readable(file)
        try:
            value = load_json(file.read_text("utf-8"))
        except _ABSENT:
            return {}
        except (ValueError, OSError) as error:
            raise RunError(f"{file} is damaged: {error}") from error
        if not isinstance(value, dict):
            raise RunError(f"{file} is damaged: it does not hold an object")
        return value

    def submission_file(self, metrics: Mapping[str, Any]) -> Path | None:
        """Where the submission lies that ``metrics.json`` tells of; None where it tells of none.

        Raises:
            RunError: what it names is no file of the run's predictions.
        """
        written = metrics.get("submission")
        if written is None:
            return None
        try:
            return self.predictions / plain_name(written["file"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.metrics_file} is damaged: submission: {error}") from None

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that a killed process left unfinished is passed over.

        Raises:
            RunError: a line is damaged.
        """
        check_readable(self.metrics_log)
        try:
            file = self.metrics_log.open("rb")  # bytes: an unfinished line may end within a character
        except _ABSENT:
            return
        with file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield _metrics_line(line, f"{self.metrics_log}, line {number}")

    def timings(self) -> Iterator[dict[str, Any]]:
        """The lines of timings.jsonl; a last line that a killed process left unfinished is passed over.

        Raises:
            RunError: a line is damaged.
        """
        if not self.timings_log.is_file():
            return
        for number, line in enumerate(self.timings_log.read_bytes().split(b"\n")[:-1], start=1):
            try:
                value = load_json(line)
            except ValueError as error:
                raise RunError(f"{self.timings_log}, line {number} is damaged: {error}") from error
            if not isinstance(value, dict):
                raise RunError(f"{self.timings_log}, line {number} is damaged: it does not hold an object")
            yield value


@dataclass(frozen=True, slots=True)
class ModelAlone(Run):
    """A model in the place of a run: it has a name and weights, and nothing else of a run."""

    weights: Path
    """Its folder in Hugging Face layout; ``folder`` is how the user named it."""

    @property
    def model(self) -> Path:
        return self.weights


def _metrics_line(line: bytes, place: str) -> dict[str, Any]:
    try:
        value = load_json(line)
    except ValueError as error:
        raise RunError(f"{place} is damaged: {error}") from error
    if not isinstance(value, dict) or type(value.get("step")) is not int or "type" not in value:
        raise RunError(f"{place} is damaged: it is no line of a training")
    return value
