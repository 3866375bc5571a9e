"""Stands for a training: ``python fake_training.py RUN``. Its figures follow from the run's recipe; it takes no time.

A batch size of 13 fails. FAKE_SECONDS makes it last, and a signal then ends it with a checkpoint.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import time
from pathlib import Path


def main(run: Path) -> None:
    """Leave behind what a training does."""
    recipe = (run / "recipe.yaml").read_text("utf-8")
    number = {name: float(re.search(rf"^ *{name}: (.*)$", recipe, re.M)[1]) for name in ("learning_rate", "seed")}  # type: ignore[index]
    rank = re.search(r"^  rank: (.*)$", recipe, re.M)
    append(run / "started", f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS', '')}")
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _frame: stop(run, number))
    time.sleep(0 if (run / "checkpoint").exists() else float(os.environ.get("FAKE_SECONDS", "0")))
    if "batch_size: 13\n" in recipe:
        print("reading <data>\nerror: thirteen & more is not allowed", file=sys.stderr)
        sys.exit(2)
    score = (
        90 - 10 * abs(math.log10(number["learning_rate"]) + 4) + number["seed"] + (float(rank[1]) if rank else 0) / 8
    )
    trainable = int(rank[1]) * 1000 if rank else 22_000_000
    write(run / "meta.json", {"parameters": {"all": {"trainable": trainable, "total": 22_000_000}}, "steps": 4})
    for step in (1, 2, 3, 4):
        place = {"step": step, "epoch": step / 4}
        append(run / "metrics.jsonl", json.dumps({"type": "train", **place, "loss": 2 / step}))
        append(run / "metrics.jsonl", json.dumps({"type": "evaluation", **place, "f1": score - 4 + step}))
        time.sleep(float(os.environ.get("FAKE_STEP_SECONDS", "0")))
    figures = {"f1": score, "exact_match": score / 2}
    write(run / "metrics.json", {"validation": figures, "seconds": 100 + score, "peak_memory_mb": 500.0})


def stop(run: Path, number: int) -> None:
    """A training that is asked to stop writes a checkpoint."""
    append(run / "checkpoint", str(number))
    sys.exit(128 + number)


def append(path: Path, line: str) -> None:
    """One more line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def write(path: Path, value: object) -> None:
    """A JSON file."""
    path.write_text(json.dumps(value), "utf-8")


main(Path(sys.argv[1]))
