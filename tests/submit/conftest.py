"""The stand-in for Kaggle, and users who talk to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bench import Bench
from crew import Crew
from kaggle_server import KaggleServer
from processes import Processes, light_processes


@pytest.fixture
def server() -> Iterator[KaggleServer]:
    """A fresh stand-in with one small competition, ``qa-cup``."""
    with KaggleServer() as one:
        yield one


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Where the tests' ``qakit`` processes come from."""
    with light_processes(tmp_path_factory.mktemp("processes")) as all_of_them:
        yield all_of_them


@pytest.fixture(scope="session")
def training_processes(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Processes:
    """And where those come from that train."""
    return Processes(tmp_path_factory.mktemp("training-processes"), crew.server)


@pytest.fixture
def bench(server: KaggleServer, processes: Processes, tmp_path: Path) -> Bench:
    """A user with a file to submit."""
    return Bench(tmp_path, server, processes)


@pytest.fixture
def make_bench(processes: Processes, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Bench]:
    """Users in environments of their own, or with another stand-in; ``trains``: who needs a model, too."""
    made = 0

    def make(server: KaggleServer, *, trains: bool = False, **variables: str) -> Bench:
        nonlocal made
        made += 1
        folder = tmp_path / f"user-{made}"
        folder.mkdir()
        chosen = request.getfixturevalue("training_processes") if trains else processes
        return Bench(folder, server, chosen, **variables)

    return make
