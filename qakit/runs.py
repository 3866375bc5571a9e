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
      checkpoints/       step-00000120/ ...: to resume
      soup/              while training, with train.soup: the best evaluated weights so far
      model/             the best weights so far, loadable by transformers where it has the architecture
      predictions/       nbest.jsonl, meta.json, the submission, and characters.safetensors where the recipe keeps
                         character scores; validation/ likewise, with threshold.png where questions may have no
                         answer: the figures at every no-answer threshold; train/ and test/ by `qakit predict --split`
"""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qakit import __version__
from qakit.errors import RunError
from qakit.files import recover_folder, remove_unfinished, write_text, writing
from qakit.recipe.load import dump_recipe, load_resolved
from qakit.recipe.model import Recipe

RUNS = Path("runs")
"""Where new runs go by default."""
LOCK = ".lock"
"""The file in a run's folder that a training process holds."""
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
REPORTED_PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "peft", "accelerate", "numpy")


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
    def curves_file(self) -> Path:
        return self.folder / "curves.png"

    @property
    def broken_batch_file(self) -> Path:
        return self.folder / "broken-batch.json"

    @property
    def is_composed(self) -> bool:
        """Whether more stands behind its answers than its own recipe: an ensemble, or a pipeline of stages."""
        return (self.folder / ENSEMBLE).is_file() or (self.folder / PIPELINE).is_file()

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
            RunError: it is damaged.
        """
        if not file.is_file():
            return {}
        try:
            value = json.loads(file.read_text("utf-8"))
        except (ValueError, RecursionError, OSError) as error:
            raise RunError(f"{file} is damaged: {error}") from error
        if not isinstance(value, dict):
            raise RunError(f"{file} is damaged: it does not hold an object")
        return value

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that a killed process left unfinished is passed over.

        Raises:
            RunError: a line is damaged.
        """
        if not self.metrics_log.is_file():
            return
        with self.metrics_log.open("rb") as file:  # bytes: an unfinished line may end within a character
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield _metrics_line(line, f"{self.metrics_log}, line {number}")


def open_run(folder: str | os.PathLike[str]) -> Run:
    """An existing run.

    Raises:
        RunError: there is no such folder, or it is not a run.
    """
    run = Run(Path(folder))
    if not run.folder.is_dir():
        raise RunError(f"there is no run {run.folder} (`qakit runs list` shows the runs)")
    if not run.recipe_file.is_file():
        raise RunError(f"{run.folder} is not a run: it has no recipe.yaml ({_what_to_name(run)})")
    _refuse_ways_out(run.folder)
    recover_folder(run.model)
    return run


def _what_to_name(folder: Run) -> str:
    if (folder.folder / "qakit.json").is_file() and (folder.folder / "config.json").is_file():
        return "it is a model alone, for transformers; name the run that it comes from"
    return "`qakit runs list` shows the runs"


def _refuse_ways_out(folder: Path) -> None:
    """A link in a run that somebody else made could have its logs written, or its answers read, anywhere.

    Raises:
        RunError: a link in the folder leads out of it.
    """
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise RunError(f"{path} is a link that leads out of the run's folder: put the file itself there")


def check_free(folder: Path | None, *, beside: Collection[str] = ()) -> None:
    """Make sure that a new run may go into ``folder``, by default into ``runs``.

    What a process left that was killed before there was a recipe does not count, nor what is named in ``beside``.

    Raises:
        RunError: the folder exists and is not empty.
        OutputError: it cannot be written or made.
    """
    if folder is not None and folder.exists() and (not folder.is_dir() or _in_use(folder, beside)):
        raise RunError(f"{folder} exists and is not empty: go on with --resume, or choose another --output")
    wanted = RUNS if folder is None else folder
    there = next(place for place in (wanted, *wanted.absolute().parents) if place.exists())
    with writing(wanted):
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _in_use(folder: Path, beside: Collection[str]) -> bool:
    """Whether a folder holds anything that counts."""
    names = {path.name for path in folder.iterdir()} - {LOCK, *beside}
    return any(not (name.startswith(".") and name.endswith(".tmp")) for name in names)


def create_run(
    recipe: Recipe, folder: Path | None, *, others: Mapping[str, str] = {}, beside: Collection[str] = ()
) -> Run:
    """A new run folder with its recipe; by default ``runs/NAME-TIME``.

    Args:
        others: further text files by their place in the folder. They are there before the recipe makes it a run.
        beside: what may lie in the folder already.

    Raises:
        RunError: the folder exists and is not empty.
        OutputError: it cannot be made.
    """
    if folder is None:
        folder = _fresh(RUNS / f"{recipe.name or 'run'}-{datetime.now():%Y%m%d-%H%M%S}")
    check_free(folder, beside=beside)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    with alone_in(run):
        check_free(folder, beside=beside)  # again, now that nobody else can make a run of it
        for name, text in others.items():
            write_text(folder / name, text)
        write_text(run.recipe_file, dump_recipe(recipe))
    return run


@contextmanager
def alone_in(run: Run) -> Iterator[None]:
    """Keep other processes from training in this run's folder meanwhile. A killed process holds nothing.

    What one that was killed left half-written is removed.

    Raises:
        RunError: another process is at work there.
        OutputError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(run.folder / LOCK, timeout=0)
    with writing(run.folder):
        try:
            lock.acquire()
        except Timeout:
            raise RunError(
                f"another process is training in {run.folder}: wait until it ends, or train into another --output"
            ) from None
    try:
        for folder in (run.folder, run.predictions, run.validation_predictions):
            remove_unfinished(folder)
        yield
    finally:
        lock.release()


def list_runs(root: Path) -> list[Run]:
    """The runs directly under ``root``, oldest first."""
    if not root.is_dir():
        return []
    found = [Run(path.parent) for path in root.glob("*/recipe.yaml")]
    return sorted(found, key=lambda run: (run.recipe_file.stat().st_mtime, run.name))


def write_json(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document, atomically."""
    write_text(path, json_text(value))


def json_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """A value as the files of a run have it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


def environment() -> dict[str, Any]:
    """What a run's meta.json says about the machine and the code."""
    return {
        "qakit": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in REPORTED_PACKAGES},
        "git_commit": _git_commit(),
    }


def _metrics_line(line: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{place} is damaged: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("step"), int) or "type" not in value:
        raise RunError(f"{place} is damaged: it is no line of a training")
    return value


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the user's working directory, if it is a checkout."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _fresh(folder: Path) -> Path:
    """Make ``folder``, or the first of ``folder-2``, ``folder-3`` ... that does not exist, and nobody else's."""
    candidate, number = folder, 2
    with writing(folder):
        while True:
            try:
                candidate.mkdir(parents=True)
                return candidate
            except FileExistsError:
                candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
