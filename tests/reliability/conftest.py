"""One process that forks trainings, and one workbench, for all tests here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "hostile"))

from trainings import Trainings
from workbench import Workbench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """Where trials are made."""
    folder = tmp_path_factory.mktemp("reliability")
    with Trainings(folder) as trainings:
        yield Workbench(folder, trainings)
