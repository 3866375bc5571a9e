"""A place for trials: the inputs, the uninterrupted runs that others are compared with, and how they are compared."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny_training import make_all
from trainings import Ended, Running, Trainings

PRETRAINING = "pretrain"
"""In an adapter's place: `qakit pretrain`."""
MEASURED = ("seconds", "peak_memory_mb")
"""What metrics.json says of the machine."""
CLOCK_CELL = re.compile(rb'<td class="[^"]*\bclock\b[^"]*">[^<]*</td>')
"""What the page says of it."""


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run, and how many lines of qakit's code ran in each phase of it."""

    run: Path
    lines: dict[str, int]


@dataclass
class Trial:
    """One user in a folder of their own, whose run is ``run/`` there and whose token cache is ``cache/``."""

    folder: Path
    recipe: Path
    trainings: Trainings

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def started(self) -> bool:
        """Whether there is a run to resume; before, the same command is given again."""
        return (self.run / "recipe.yaml").is_file()

    @property
    def checkpoints(self) -> list[Path]:
        """Oldest first."""
        return sorted((self.run / "checkpoints").glob("step-*"))

    @property
    def cached(self) -> list[Path]:
        """The entries of the token cache."""
        return [entry for entry in (self.folder / "cache").glob("user-*/tokens/*") if entry.name[0] != "."]

    def lose_cache(self) -> None:
        """The tokens are to be made anew."""
        for entry in self.cached:
            entry.rename(entry.with_name(f".lost-{entry.name}"))

    def start(self, *options: object, resume: bool = False, **mishap: Any) -> Running:
        """``qakit train``."""
        what = ["--resume"] if resume else [self.recipe]
        arguments = ["train", *what, "--output", "run", *options]
        return self.trainings.start(*arguments, cwd=self.folder, cache=self.folder / "cache", **mishap)

    def after_cut(self) -> Trial:
        """When the power is back: what the disk had is there, and nothing else."""
        self.folder.rename(self.folder.with_name(f"{self.folder.name}.before"))
        self.folder.with_name(f"{self.folder.name}.cut").rename(self.folder)
        return self

    def train(self, *options: object, **mishap: Any) -> Ended:
        """Train from the beginning."""
        return self.start(*options, **mishap).wait()

    def go_on(self, **mishap: Any) -> Ended:
        """What the user does after an interruption."""
        return self.start(resume=self.started, **mishap).wait()


class Pretraining(Trial):
    """A user of ``qakit pretrain``."""

    @property
    def started(self) -> bool:
        """Whether there is a pretraining to resume."""
        return (self.run / "pretrain.json").is_file()

    def start(self, *options: object, resume: bool = False, **mishap: Any) -> Running:
        """``qakit pretrain``."""
        settings = [part for setting in SHORT for part in ("--set", setting)]
        more = ["--resume"] if resume else []
        arguments = ["pretrain", self.recipe, "--output", "run", *settings, *more, *options]
        return self.trainings.start(*arguments, cwd=self.folder, cache=self.folder / "cache", **mishap)


SHORT = ("max_length=40", "batch_size=4", "max_steps=4", "checkpoint_every=2", "precision=fp32", "log_every=1")
"""Settings of a pretraining of a second."""


@dataclass
class Workbench:
    """Makes trials."""

    folder: Path
    trainings: Trainings
    wholes: dict[tuple[str, ...], Whole] = field(default_factory=dict)
    killed: dict[str, Trial] = field(default_factory=dict)
    """By adapter: a run that was killed, to be copied."""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        make_all(self.folder / "inputs")

    def trial(self, moment: str) -> Trial:
        """A fresh folder, for a moment with some adapter."""
        adapter = moment.split()[0]
        folder = self.folder / f"trial-{next(self.numbers)}"
        folder.mkdir()
        if adapter == PRETRAINING:
            return Pretraining(folder, self.folder / "inputs" / "full.yaml", self.trainings)
        return Trial(folder, self.folder / "inputs" / f"{adapter}.yaml", self.trainings)

    def whole(self, adapter: str, *options: str, **mishap: Any) -> Whole:
        """The uninterrupted run with this adapter (and these options); trained once."""
        key = (adapter, *options, *map(str, mishap.values()))
        if key not in self.wholes:
            trial = self.trial(adapter)
            record = trial.folder / "lines.json"
            done = trial.train(*options, record=str(record), **mishap)
            assert done.code == 0, done.err
            self.wholes[key] = Whole(trial.run, json.loads(record.read_text("utf-8")))
        return self.wholes[key]


def differences(run: Path, whole: Path) -> list[str]:
    """Files of a finished run that are not, byte for byte, those of the uninterrupted one.

    Clock times and memory are left aside (timings.jsonl, some of metrics.json, the page's speeds).
    """
    ours, theirs = (_contents(folder) for folder in (run, whole))
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _contents(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in run.rglob("*"):
        name = str(path.relative_to(run))
        if not path.is_file() or name in (".lock", "timings.jsonl"):
            continue
        found[name] = path.read_bytes()
    if "metrics.json" in found:
        found["metrics.json"] = json.loads(found["metrics.json"]) | dict.fromkeys(MEASURED)
    if "view.html" in found:
        found["view.html"] = CLOCK_CELL.sub(b"", found["view.html"])
    return found
