"""A Ray cluster of this machine: two nodes with one core each, all on the loopback device."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from qakit.ray_cluster import QUIET

ROOM: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
VARIABLES = QUIET | {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what makes Ray stay on 127.0.0.1
    "RAY_AUTH_MODE": "disabled",
    "RAY_health_check_period_ms": "1000",
}


class RayNodes:
    """The cluster; this process and those that it starts find it by ``RAY_ADDRESS``."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        with in_the_background():
            self.cluster = Cluster(initialize_head=True, head_node_args=ROOM | {"include_dashboard": False})
            self.second = self.cluster.add_node(**ROOM)

    @property
    def second_raylet(self) -> int:
        """The process of the second node, whose tasks run in its children."""
        (info,) = self.second.all_processes["raylet"]
        return int(info.process.pid)

    def replace_second(self) -> None:
        """Another node for the one that is lost."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        with in_the_background():
            self.second = self.cluster.add_node(**ROOM)


@contextmanager
def in_the_background() -> Iterator[None]:
    """What is started meanwhile ignores Ctrl-C, as what a shell's script starts with ``&``.

    And this process keeps its own answer to SIGTERM: each of Ray's nodes would put in one that ends it.
    """
    interrupt, terminate = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


def parent_of(process: int) -> int:
    """Its process number."""
    return int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(process)]))


@contextmanager
def ray_nodes() -> Iterator[RayNodes]:
    """Two nodes, until the end."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
        import ray

        nodes = RayNodes()
        patch.setenv("RAY_ADDRESS", nodes.cluster.address)
        try:
            yield nodes
        finally:
            ray.shutdown()
            nodes.cluster.shutdown()
            os.environ.pop("RAY_ADDRESS", None)
