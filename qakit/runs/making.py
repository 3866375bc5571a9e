"""A new run's folder, the one process that may work in it, and the machine and the code that make it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qakit import __version__
from qakit.errors import OutputError, QakitError, RunError
from qakit.files import add_files, folder_to_disk, make_folder, write_json, write_text, writing
from qakit.outputs import check_empty, check_output
from qakit.recipe.load import dump_recipe
from qakit.recipe.model import Recipe
from qakit.runs.folder import LOCK, Run
from qakit.runs.state import forget_training, needed_to_resume
from qakit.temporary import remove_leftovers

RUNS = Path("runs")
"""Where new runs go by default."""
PATIENCE = 0.5
"""Seconds to wait for a folder's lock: who asks whether somebody is at work there holds it for a moment."""
STOPPED = 128
"""Exit codes above it are those of signals."""


class BusyError(RunError):
    """Another process is at work in a run's folder. The exit code is that of sysexits for "try again later"."""

    exit_code = 75


def check_free(folder: Path | None, *, beside: Collection[str] = ()) -> None:
    """Make sure that a new run may go into ``folder``, by default into ``runs``.

    What a process left that was killed before there was a recipe does not count, nor what is named in ``beside``.

    Raises:
        UsageError: its name cannot be used.
        RunError: the folder exists and is not empty.
        OutputError: it cannot be written or made.
    """
    if folder is None:
        check_output(RUNS)
    else:
        check_empty(folder, beside={LOCK, *beside}, instead="resume with --resume, or ")


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
        make_folder(folder)
    run = Run(folder)
    with alone_in(run):
        check_free(folder, beside=beside)  # again, now that nobody else can make a run of it
        if not others:
            write_text(run.recipe_file, dump_recipe(recipe))
            return run
        with add_files(folder, last=run.recipe_file.name) as temporary:
            for name, text in {**others, run.recipe_file.name: dump_recipe(recipe)}.items():
                write_text(temporary / name, text)
    return run


@contextmanager
def alone_in(run: Run) -> Iterator[None]:
    """Keep other processes from training in this run's folder meanwhile. A killed process holds nothing.

    What one that was killed left half-written is removed. What fails inside is noted in the folder of a run that is not
    finished, until somebody resumes it.

    Raises:
        BusyError: another process is at work there.
        OutputError: the folder cannot be written.
    """
    with locked(run):
        for folder in (run.folder, run.predictions, run.validation_predictions):
            remove_leftovers(folder)
        with writing(run.failure_file):
            run.failure_file.unlink(missing_ok=True)
        try:
            yield
        except Exception as error:
            _note_failure(run, error)
            raise


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the lock of a run's folder.

    Raises:
        BusyError: another process holds it.
        OutputError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(run.folder / LOCK, timeout=PATIENCE)
    with writing(run.folder):
        try:
            lock.acquire()
        except Timeout:
            raise BusyError(
                f"another process is training in {run.folder}: wait until it ends, or train into another --output"
            ) from None
    try:
        yield
    finally:
        lock.release()


def tidy_finished(run: Run) -> None:
    """Remove what only resuming needs of a run that is finished, if its process was killed before it could.

    Raises:
        OutputError: the file system refuses.
    """
    if run.finished and needed_to_resume(run) and os.access(run.folder, os.W_OK):
        with suppress(BusyError), locked(run):  # who is at work there does it
            forget_training(run)


def _note_failure(run: Run, error: Exception) -> None:
    """Where a run is not finished: why. A training that was asked to stop has not failed."""
    stopped = isinstance(error, QakitError) and error.exit_code > STOPPED
    if stopped or run.finished or not run.recipe_file.is_file():
        return
    told = str(error) if isinstance(error, QakitError) else f"{type(error).__name__}: {error}"
    with suppress(OutputError):  # what has failed is reported anyway
        write_json(run.failure_file, {"error": told})


def _fresh(folder: Path) -> Path:
    """Make ``folder``, or the first of ``folder-2``, ``folder-3`` ... that does not exist, and nobody else's."""
    candidate, number = folder, 2
    with writing(folder):
        while True:
            try:
                make_folder(candidate.parent)
                candidate.mkdir()
                folder_to_disk(candidate.parent)
                return candidate
            except FileExistsError:
                candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1


REPORTED_PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "peft", "accelerate", "numpy")


def environment() -> dict[str, Any]:
    """What a run's meta.json says about the machine and the code."""
    return {
        "qakit": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in REPORTED_PACKAGES},
        "git_commit": _git_commit(),
    }


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
