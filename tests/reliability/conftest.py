"""One workbench for all tests here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "hostile"))

from crew import Crew
from trainings import Trainings
from workbench import Workbench


@pytest.fixture(scope="session")
def bench(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Where trials are made."""
    folder = tmp_path_factory.mktemp("reliability")
    return Workbench(folder, Trainings(folder, crew.server))
