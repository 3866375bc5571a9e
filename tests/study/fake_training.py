"""Stands for ``qakit train --resume --output RUN``: its figures follow from the run's recipe, and it takes no time.

A batch size of 13 fails. As a process (``python fake_training.py RUN``) FAKE_SECONDS makes it last, and a signal then
ends it with a checkpoint.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path


class FailedError(Exception):
    """The training has failed."""


def train(run: Path) -> Iterator[None]:
    """Leave behind what a training does; each evaluation is a step."""
    recipe = (run / "recipe.yaml").read_text("utf-8")
    number = {name: float(re.search(rf"^ *{name}: (.*)$", recipe, re.M)[1]) for name in ("learning_rate", "seed")}  # type: ignore[index]
    rank = re.search(r"^  rank: (.*)$", recipe, re.M)
    append(run / "started", str(os.getpid()))
    if "batch_size: 13\n" in recipe:
        raise FailedError("thirteen & more is not allowed")
    score = (
        90 - 10 * abs(math.log10(number["learning_rate"]) + 4) + number["seed"] + (float(rank[1]) if rank else 0) / 8
    )
    trainable = int(rank[1]) * 1000 if rank else 22_000_000
    write(run / "meta.json", {"parameters": {"all": {"trainable": trainable, "total": 22_000_000}}, "steps": 4})
    yield
    for step in (1, 2, 3, 4):
        place = {"step": step, "epoch": step / 4}
        append(run / "metrics.jsonl", json.dumps({"type": "train", **place, "loss": 2 / step}))
        append(run / "metrics.jsonl", json.dumps({"type": "evaluation", **place, "f1": score - 4 + step}))
        yield
    figures = {"f1": score, "exact_match": score / 2}
    write(run / "metrics.json", {"validation": figures, "seconds": 100 + score, "peak_memory_mb": 500.0})


def checkpoint(run: Path, number: int) -> None:
    """A training that is asked to stop writes a checkpoint."""
    append(run / "checkpoint", str(number))


def append(path: Path, line: str) -> None:
    """One more line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def write(path: Path, value: object) -> None:
    """A JSON file."""
    path.write_text(json.dumps(value), "utf-8")


def main(run: Path) -> int:
    """One training at a time in a folder, as ``qakit train`` has it; returns the exit code."""
    lock = os.open(run / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("error: another process is training", file=sys.stderr)
        return 75
    if (run / "metrics.json").exists():
        return 0

    def stop(number: int, _frame: object) -> None:
        checkpoint(run, number)
        os._exit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
    went_on = (run / "checkpoint").exists()
    try:
        for _ in train(run):
            time.sleep(0 if went_on else float(os.environ.get("FAKE_SECONDS", "0")) / 5)
    except FailedError as error:
        print(f"reading <data>\nerror: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
