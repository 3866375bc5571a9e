"""The stand-in for Kaggle, and users who talk to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bench import Bench
from environments import isolated
from kaggle_server import KaggleServer
from processes import Processes


@pytest.fixture
def server() -> Iterator[KaggleServer]:
    """A fresh stand-in with one small competition, ``qa-cup``."""
    with KaggleServer() as one:
        yield one


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Where the tests' ``qakit`` processes come from."""
    folder = tmp_path_factory.mktemp("processes")
    with Processes(folder, isolated(folder / "home")) as all_of_them:
        yield all_of_them


@pytest.fixture
def bench(server: KaggleServer, processes: Processes, tmp_path: Path) -> Bench:
    """A user with a file to submit."""
    return Bench(tmp_path, server, processes)


@pytest.fixture
def make_bench(processes: Processes, tmp_path: Path) -> Callable[..., Bench]:
    """Users in environments of their own, or with another stand-in."""
    made = 0

    def make(server: KaggleServer, **variables: str) -> Bench:
        nonlocal made
        made += 1
        folder = tmp_path / f"user-{made}"
        folder.mkdir()
        return Bench(folder, server, processes, **variables)

    return make
