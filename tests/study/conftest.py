"""Studies of a recipe that is never really trained: a small script stands for the training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from study import fake_training

from qakit.distributed import ALONE
from qakit.graph.execute import Ended, Executor, Job
from qakit.graph.expand import load
from qakit.graph.nodes import Node
from qakit.graph.processes import LOG, outcome, report_progress
from qakit.registry import Registry, load_registry
from qakit.report.study import StudyResults
from qakit.runs import Run
from qakit.statistics import Sampling
from qakit.study.folder import StudyFolder
from qakit.study.load import load_study
from qakit.study.results import read_results
from qakit.study.trials import TrialRecord
from qakit.training.events import Event, Listener, NodeEnded, NodeStarted
from qakit.training.interrupts import InterruptedTrainingError, StopRequest
from qakit.workflows.launching import Place
from qakit.workflows.study import StudyExecution, plan_study

RECIPE = """\
data: {reader: squad, train: train.json, validation: dev.json}
backbone: {source: ./encoder}
train: {learning_rate: 1e-4, batch_size: 8}
"""

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The installed plugins."""
    return load_registry()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(text, name="study.yaml")``: a study beside base.yaml; returns its path."""
    (tmp_path / "base.yaml").write_text(RECIPE, "utf-8")

    def write_study(text: str, name: str = "study.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write_study


class Faked:
    """The fake training in this process: one evaluation at each look, so several continue side by side."""

    def __init__(self, capacity: int = 1, train: Callable[[Path], Iterator[None]] = fake_training.train) -> None:
        self.capacity, self.train = capacity, train

    def start(self, node: Node, folder: Path, listener: Listener) -> Job:
        """Begin."""
        return FakedJob(node.label, Run(folder / node.label), listener, self.train)


class FakedJob:
    """Says of itself what a process leaves behind."""

    def __init__(self, label: str, run: Run, listener: Listener, train: Callable[[Path], Iterator[None]]) -> None:
        self.label, self.run, self.listener, self.steps = label, run, listener, train(run.folder)
        self.how: Ended | None = None

    def ended(self) -> Ended | None:
        """One step more."""
        if self.how is None:
            report_progress(self.label, self.run, self.listener)
        if self.how is not None:  # given up meanwhile
            return self.how
        try:
            next(self.steps)
        except StopIteration:
            self.how = outcome(self.run, 0, 0)
        except fake_training.FailedError as error:
            (self.run.folder / LOG).write_text(f"reading <data>\nerror: {error}\n", "utf-8")
            self.how = outcome(self.run, 2, 0)
        return self.how

    def stop(self, number: int) -> None:
        """A checkpoint, and the end."""
        fake_training.checkpoint(self.run.folder, number)
        self.how = Ended(InterruptedTrainingError(number))


class Driven:
    """A study that runs in this process."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry, self.folder, self.events = registry, StudyFolder(folder), list[Event]()

    def __call__(
        self,
        file: Path,
        *,
        jobs: int = 1,
        executor: Executor | None = None,
        listener: Listener | None = None,
        stop: StopRequest | None = None,
        **options: Any,
    ) -> list[TrialRecord]:
        """Run it to the end."""
        loaded = load_study(file)
        self.folder.begin(loaded, ["qakit", "study", "run", file.name])
        planned = plan_study(loaded, self.registry)
        place = Place(executor or Faked(jobs), ALONE, listener or self.events.append, stop or StopRequest())
        given = {"check_trainings": False, "poll": 0.001, **options}
        return StudyExecution(loaded, planned, self.folder, self.registry, place, **given).run()

    def starts(self) -> dict[str, int]:
        """How often each run's training was started."""
        return {
            file.parent.name: len(file.read_text().splitlines()) for file in sorted(self.folder.runs.glob("*/started"))
        }

    def ends(self) -> list[str]:
        """What the listener has heard of beginnings and ends."""
        return [type(event).__name__ for event in self.events if isinstance(event, NodeStarted | NodeEnded)]

    def results(self, file: Path) -> StudyResults:
        """What its report shows."""
        read = partial(load, registry=self.registry)
        return read_results(self.folder, load_study(file), self.registry, read, Sampling(200, 0))


@pytest.fixture
def drive(registry: Registry, tmp_path: Path) -> Driven:
    """``drive(study_file)`` runs a study in ``tmp_path/study``."""
    return Driven(registry, tmp_path / "study")


def fake_command(folder: Path) -> list[str]:
    """The fake training as a process."""
    return [sys.executable, fake_training.__file__, str(folder)]
