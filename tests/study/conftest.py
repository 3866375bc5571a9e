"""Studies of a recipe that is never really trained: a small script stands for the training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qakit.study.events import Event
from qakit.study.ledger import open_ledger
from qakit.study.record import TrialRecord
from qakit.study.runner import Runner, Timing

from qakit.registry import Registry, load_registry
from qakit.study.folder import StudyFolder
from qakit.study.load import load_study
from qakit.study.plan import plan
from qakit.training.interrupts import StopRequest

FAKE = Path(__file__).with_name("fake_training.py")
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


class Driven:
    """A study that runs in this process."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry, self.folder, self.events = registry, StudyFolder(folder), list[Event]()

    def __call__(self, file: Path, *, jobs: int = 1, retry_failed: bool = False, **options: Any) -> list[TrialRecord]:
        """Run it to the end."""
        loaded = load_study(file)
        self.folder.begin(loaded, ["qakit", "study", "run", file.name])
        runner = Runner(
            loaded,
            {trial.key: trial for trial in plan(loaded, self.registry)},
            self.folder,
            open_ledger(loaded.name, loaded.study.storage, self.folder, create=True),
            self.registry,
            jobs=jobs,
            **{
                "listener": self.events.append,
                "command": lambda run: [sys.executable, str(FAKE), str(run)],
                "timing": Timing(poll=0.01, look=0.05),
                **options,
            },
        )
        return runner.run(retry_failed=retry_failed, stop=StopRequest())

    def starts(self) -> dict[str, int]:
        """How often each run's training was started."""
        return {
            file.parent.name: len(file.read_text().splitlines()) for file in sorted(self.folder.runs.glob("*/started"))
        }


@pytest.fixture
def drive(registry: Registry, tmp_path: Path) -> Driven:
    """``drive(study_file)`` runs a study in ``tmp_path/study``."""
    return Driven(registry, tmp_path / "study")
