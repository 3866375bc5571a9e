"""Functions that tests have called in other processes (``qakit.training.subprocesses``)."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import qakit.hub
from qakit.distributed import Workers, processes_of_this_launch
from qakit.errors import DataError
from qakit.training.events import Listener, Notice, Remark


def speak(listener: Listener, *, path: str, number: float) -> dict[str, Any]:
    """An event, a warning, progress on a file, something printed; then a value."""
    listener(Notice(path))
    logging.getLogger("qakit.somewhere").warning("careful: %s", path)
    qakit.hub.told(qakit.hub.Progress("a file", 1, 2))
    print("not a message")
    return {"path": path, "number": number, "threads": os.environ.get("OMP_NUM_THREADS")}


def fail(listener: Listener, *, how: str) -> None:
    """Raise, or die."""
    if how == "data":
        raise DataError(["one", "two"], path=Path("a.json"), row="record 3")
    if how == "bug":
        raise IndexError("off by one")
    if how == "disk":
        raise OSError(28, "No space left on device", "/full/file")
    os.kill(os.getpid(), signal.SIGKILL)


def wait(listener: Listener, *, file: str) -> None:
    """Write this process's number, say that it has begun, then wait for the file's end."""
    Path(file).write_text(str(os.getpid()), "utf-8")
    listener(Remark("waiting"))
    while Path(file).is_file():
        time.sleep(0.02)


def one_fails(listener: Listener, *, rank: int, how: str) -> str:
    """Two processes, of which one fails while the other waits for it."""
    with processes_of_this_launch() as workers:
        workers.gather(workers.rank)
        if how == "told":
            with workers.fail_together():
                _fail_in(workers, rank)
        else:
            _fail_in(workers, rank)
            workers.from_first(1)
    return "not reached"


def _fail_in(workers: Workers, rank: int) -> None:
    if workers.rank == rank:
        raise DataError("this one is wrong", path="b.json")


def meet_again(listener: Listener) -> list[list[int]]:
    """Several meetings in one launch; each finds the others."""
    found = []
    for _ in range(3):
        with processes_of_this_launch() as workers, processes_of_this_launch():
            found.append(workers.gather(os.getpid()))
    return found


def train_each(listener: Listener, *, recipe: str, folder: str, changes: dict[str, list[str]]) -> None:
    """One training after the other, all by all processes; in between the first works alone and the others wait."""
    from qakit.graph.training import Training
    from qakit.modeling.device import free_memory
    from qakit.recipe.load import load_recipe
    from qakit.registry import load_registry
    from qakit.training.launch import accelerator_for

    registry = load_registry()
    with processes_of_this_launch() as workers:
        for name, change in changes.items():
            if workers.rank == 1 and name == "failing":
                os.environ["TRAIN_FOLDER"] = folder
            with workers.fail_together():
                loaded = load_recipe(Path(recipe), change, registry=registry).recipe
            training = Training(loaded, registry, accelerator_for(loaded), Path(folder) / name, None)
            training.go(listener, resume=False)
            precision = training.accelerator.mixed_precision
            del training
            free_memory()
            with workers.fail_together():
                if workers.first:
                    time.sleep(1)
                    listener(Remark(f"after {name}: {precision}"))
