"""The run folder: everything a training leaves behind, under names that do not change.

::

    runs/NAME-TIME/
      recipe.yaml        the resolved recipe, absolute paths
      meta.json          versions, data hashes, seed, parameter counts, commit
      metrics.jsonl      one line per logged step and per evaluation; deterministic, no clock times in it
      timings.jsonl      examples/s and seconds, beside it
      metrics.json       the final figures
      curves.png         loss and metrics over steps
      view.html          a page to look at: figures, curves, validation questions (`qakit view`); written after the rest
      seen.safetensors   hashes of what it, and the runs that it builds on, were trained on
      broken-batch.json  only if training ended because numbers were no longer finite: the batch
      checkpoints/       until all is done: step-00000120/ ..., to resume
      soup/              while training, with train.soup: the best evaluated weights so far
      failure.json       only if a training ended with an error, until it is resumed: the message
      model/             the best weights so far, loadable by transformers where it has the architecture
      predictions/       nbest.jsonl, meta.json, the submission, and characters.safetensors where the recipe keeps
                         character scores; validation/ likewise, with threshold.png where questions may have no
                         answer: the figures at every no-answer threshold; train/ and test/ by `qakit predict --split`
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RecipeError, RunError
from qakit.files import check_readable, file_sha256
from qakit.names import plain_name
from qakit.numbers import finite_or_none, load_json
from qakit.recipe.load import load_resolved
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import SpeltClass, TargetNames

LOCK = ".lock"
"""The file in a run's folder that a process holds that is at work there."""
LAYOUT = "qakit.json"
"""In a model's folder: what it holds, under which names, and where the backbone came from."""
SEEN = "seen.safetensors"
"""What a run was trained on; also in a folder of weights that come from a run."""
VALIDATION_LOSS = "validation_loss"
"""In the evaluations of metrics.jsonl, beside the metric's figures."""
FOLDS = "folds.json"
"""The file that makes a run folder one of folds."""
ENSEMBLE = "ensemble.json"
"""That of an ensemble: its members and how they are combined."""
MEMBERS = "members"
"""The folder of members that an ensemble has trained."""
MEMBERS_FILE = "members.json"
"""In the folder of an ensemble with members that are trained there: which, and how all are combined."""
PIPELINE = "pipeline.yaml"
"""The file that makes a run folder a pipeline's."""


_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""How a file is not there; asking before opening it would leave a training time to replace it in between."""


class _Part:
    """A file or folder by its path in a run's folder."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, run: Run, _: type[Run]) -> Path:
        return run.folder / self._path


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder by its parts. The value holds only the path; nothing is read until asked."""

    folder: Path

    recipe_file = _Part("recipe.yaml")
    meta_file = _Part("meta.json")
    metrics_log = _Part("metrics.jsonl")
    timings_log = _Part("timings.jsonl")
    metrics_file = _Part("metrics.json")
    curves_file = _Part("curves.png")
    page = _Part("view.html")
    """What `qakit view` writes, and `qakit train` for the first questions."""
    broken_batch_file = _Part("broken-batch.json")
    failure_file = _Part("failure.json")
    seen_file = _Part(SEEN)
    """What this run, and those that it builds on, were trained on."""
    folds_file = _Part(FOLDS)
    """In a folder of folds: how the examples were split."""
    checkpoints = _Part("checkpoints")
    soup = _Part("soup")
    predictions = _Part("predictions")
    validation_predictions = _Part("predictions/validation")
    validation_nbest = _Part("predictions/validation/nbest.jsonl")
    threshold_curve_file = _Part("predictions/validation/threshold.png")

    @property
    def finished(self) -> bool:
        """Whether all is done: ``metrics.json`` is written last of all."""
        return self.metrics_file.is_file()

    @property
    def is_composed(self) -> bool:
        """Whether more stands behind its answers than its own recipe: an ensemble, or a pipeline of stages."""
        return self.is_ensemble or (self.folder / PIPELINE).is_file()

    @property
    def is_ensemble(self) -> bool:
        return (self.folder / ENSEMBLE).is_file()

    @property
    def is_folds(self) -> bool:
        return self.folds_file.is_file()

    @property
    def has_members(self) -> bool:
        """Whether several models answer for it, each by itself: an ensemble's, or those of folds."""
        return self.is_ensemble or self.is_folds

    def fold(self, number: int) -> Run:
        """One of the folds of a folder of folds, counted from 1."""
        return Run(self.folder / f"fold-{number}")

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def decision_file(self) -> Path:
        """What was tuned on validation: the no-answer threshold and the temperature."""
        return self.model / "decision.json"

    def training_files(self) -> Mapping[str, str]:
        """The files that the run's own model was trained on, and those beside them, with their SHA-256; empty where
        meta.json names none.

        Raises:
            RunError: meta.json is damaged.
        """
        try:
            data = self.read_json(self.meta_file)["data"]["train"]
            return {**data["files"], **data.get("beside", {})}
        except (KeyError, TypeError, ValueError):
            return {}

    def decision_sha256(self) -> str | None:
        """A hash of what was decided with the weights, their step among it: with other weights it is another one. None
        for a run without a model."""
        return file_sha256(self.decision_file) if self.decision_file.is_file() else None

    @property
    def name(self) -> str:
        return self.folder.name

    def classes(self) -> tuple[str, ...]:
        """The classes that the run's own model tells apart, in the order of their scores, or the names of its several
        numbers; empty for other models.

        Raises:
            RunError: the file that says so is damaged.
        """
        try:
            return classes_in(self.read_json(self.model / LAYOUT))
        except ValueError as error:
            raise RunError(f"{self.model} is damaged: {LAYOUT} {error}") from None

    def recipe(self, *, unneeded: Collection[str] = ()) -> Recipe:
        """The resolved recipe.

        Args:
            unneeded: places (``metric``) whose plugins need not be installed.

        Raises:
            RunError: the folder is not a run, or needs a plugin that is not installed.
            RecipeError: its recipe no longer fits this version of qakit.
        """
        if not self.recipe_file.is_file():
            raise RunError(f"{self.folder} is not a run: it has no recipe.yaml (`qakit runs list` shows the runs)")
        try:
            return load_resolved(self.recipe_file, versions=self._settings_versions(), unneeded=unneeded)
        except RecipeError:
            from qakit.runs.plugins import lacking

            if plugins := lacking(self.read_json(self.meta_file)):
                raise RunError(f"{self.folder} needs {plugins}: install it, or switch it on again") from None
            raise

    def _settings_versions(self) -> dict[str, int] | None:
        """Of its plugins' settings, by place; None where no plugin has had others, or nothing was trained yet."""
        meta = self.read_json(self.meta_file) if load_registry().upgrades else {}
        if not meta.keys() & {"settings", "plugins"}:
            return None
        found = meta.get("settings", {})
        if not isinstance(found, dict) or not all(isinstance(each, int) for each in found.values()):
            raise RunError(f"{self.meta_file} is damaged: `settings` must be versions by place")
        return found

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

    def figures(self) -> dict[str, float]:
        """What the run has reached on its validation data, by name; of an export what it keeps with the weights. Empty
        where it has none; figures that are no finite numbers are left out.

        Raises:
            RunError: the file that holds them is damaged.
        """
        for file, key in ((self.metrics_file, "validation"), (self.decision_file, "figures")):
            found = self.read_json(file).get(key) or {}
            if not isinstance(found, dict):
                raise RunError(f"{file} is damaged: {key} holds no figures")
            if found:
                numbers = {name: finite_or_none(value) for name, value in found.items()}
                return {name: number for name, number in numbers.items() if number is not None}
        return {}

    def submission_file(self, metrics: Mapping[str, Any]) -> Path | None:
        """Where the submission lies that ``metrics.json`` names; None where it names none.

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
        """The lines of metrics.jsonl; a last line that a killed process left unfinished is skipped.

        Raises:
            RunError: a line is damaged.
        """
        for place, line in _lines(self.metrics_log):
            if not isinstance(line, dict) or type(line.get("step")) is not int or "type" not in line:
                raise RunError(f"{place} is damaged: it is no line of a training")
            yield line

    def timings(self) -> Iterator[dict[str, Any]]:
        """The lines of timings.jsonl; a last line that a killed process left unfinished is skipped.

        Raises:
            RunError: a line is damaged.
        """
        for place, line in _lines(self.timings_log):
            if not isinstance(line, dict):
                raise RunError(f"{place} is damaged: it does not hold an object")
            yield line


@dataclass(frozen=True, slots=True)
class ModelAlone(Run):
    """A model in the place of a run: it has a name and weights, and nothing else of a run."""

    weights: Path
    """Its folder in Hugging Face layout; ``folder`` is how the user named it."""

    @property
    def model(self) -> Path:
        return self.weights


def classes_in(layout: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes that a model's :data:`LAYOUT` names, each as its file spelt it, or the names of several numbers.

    Raises:
        ValueError: it is damaged.
    """
    classes, written = layout.get("classes", []), layout.get("written", {})
    if not isinstance(classes, list) or not isinstance(written, dict):
        raise ValueError("holds no list of classes, or none of their spellings")
    if not all(isinstance(text, str) for text in (*classes, *written.values())):
        raise ValueError("has classes that are no text")
    if layout.get("numbers"):
        return TargetNames(classes)
    return tuple(SpeltClass(name, written[name]) if name in written else name for name in classes)


def _lines(file: Path) -> Iterator[tuple[str, Any]]:
    """The values of a log's whole lines, each after its place for messages."""
    check_readable(file)
    try:
        log = file.open("rb")  # bytes: an unfinished line may end within a character
    except _ABSENT:
        return
    with log:
        for number, line in enumerate(log, 1):
            if not line.endswith(b"\n"):
                return
            place = f"{file}, line {number}"
            try:
                value = load_json(line)
            except ValueError as error:
                raise RunError(f"{place} is damaged: {error}") from error
            yield place, value
