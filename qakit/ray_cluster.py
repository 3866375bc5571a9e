"""Ray: found, connected to, and kept from talking into a command's output."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RunError, UsageError

VARIABLE = "RAY_ADDRESS"
OWN = "local"
"""What Ray calls a cluster that it starts on this machine, and that ends with the process."""
PATIENCE = 5.0
"""Seconds for a cluster to answer."""
QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what Ray's own processes and its C++ say of machines that come and go
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # the same once more, from Python, on stdout
}
"""Read by Ray when it is imported."""
IMPATIENT = {"RAY_NUM_REDIS_GET_RETRIES": "2", "RAY_py_gcs_connect_timeout_s": "5"}
"""Where something else answers at the address: Ray would try for a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Room:
    """What each of several works takes of the cluster."""

    of_one: Mapping[str, float]
    """As ``ray.remote`` has it."""
    label: str
    """What the cluster calls that."""
    threads: int | None
    """On CPUs."""

    def places(self, ray: Any) -> int:
        """How many find room at a time; the cluster may grow and shrink."""
        (each,) = self.of_one.values()
        return max(1, int(ray.cluster_resources().get(self.label, 0) // each))


def room_of(ray: Any) -> Room:
    """A GPU for each where the cluster has some, else one core."""
    if ray.cluster_resources().get("GPU", 0) >= 1:
        return Room({"num_gpus": 1.0}, "GPU", None)
    return Room({"num_cpus": 1.0}, "CPU", 1)


def connect() -> Any:
    """Ray, connected to the cluster that ``RAY_ADDRESS`` names; without it Ray starts one on this machine.

    What it would print on the way stays away: its notices, log lines and progress.

    Raises:
        UsageError: Ray is not installed.
        RunError: there is no such cluster.
    """
    address = os.environ.get(VARIABLE) or OWN
    if address != OWN:
        _check_listening(address)
    for name, value in (QUIET | (IMPATIENT if address != OWN else {})).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'qakit[ray]'") from None
    if ray.is_initialized():
        return ray
    logging.getLogger("ray").setLevel(logging.ERROR)
    before = signal.getsignal(signal.SIGTERM)
    dashboard = False if address == OWN else None  # the cluster's own affair
    try:
        with _without_stderr():
            ray.init(
                address,
                include_dashboard=dashboard,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise RunError(f"{_told(address)}: {what_went_wrong(error)}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's would end us without a word to those at work
    return ray


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Meanwhile nobody sees what C++ says of the settings that keep it from talking."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def what_went_wrong(error: Exception) -> str:
    """What Ray says, in one line."""
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return f"Ray: {lines[0].strip() if lines else type(error).__name__}"


def _told(address: str) -> str:
    return "a cluster of this machine" if address == OWN else f"{VARIABLE}={address}"


def _check_listening(address: str) -> None:
    """Ask whether anybody is there before Ray asks: it would wait for many minutes.

    Raises:
        RunError: nobody is.
    """
    host, colon, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not colon:
        return  # "auto", or something that Ray refuses
    try:
        if not port.isdecimal():
            raise OSError("the port is no number")
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RunError(
            f"{VARIABLE}={address}: no Ray cluster answers there ({reason}); `ray start --head` starts one"
        ) from None
