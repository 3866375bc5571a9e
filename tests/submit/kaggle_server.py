"""A stand-in for Kaggle on this machine: its wire protocol, one team, and every fault one can think of.

In a test: ``with KaggleServer() as server: ...``. By itself: ``python tests/submit/kaggle_server.py --port 0 --state
state.json`` prints its address and keeps what it knows in a file. Standard library only; listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import faults as fault_catalogue
from faults import Fault
from kaggle_http import KEY, USER, Handler, Seen
from kaggle_state import KaggleState


class KaggleServer:
    """The server and its thread.

    Attributes:
        state: what Kaggle knows.
        seen: every request in the order of arrival.
        blocked: set as soon as a request hangs; ``release`` lets go of all that hang.
    """

    def __init__(self, state: KaggleState | None = None, *, port: int = 0, state_file: Path | None = None) -> None:
        self.state = state or KaggleState()
        self.seen: list[Seen] = []
        self.faults: dict[str, list[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.blocked = threading.Event()
        self.release = threading.Event()
        self.state_file = state_file
        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.http.stand_in = self  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> KaggleServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    @property
    def port(self) -> int:
        return int(self.http.server_address[1])

    @property
    def url(self) -> str:
        """What clients take for Kaggle's API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> str:
        """Where files lie: another host name than the API's, as it is at Kaggle, so credentials must not follow."""
        return f"http://localhost:{self.port}"

    def inject(self, method: str, fault: Fault, *, times: int | None = 1) -> None:
        """Play ``fault`` for the next ``times`` requests of ``method``; None: for all."""
        if times is None:
            self.always[method] = fault
        else:
            self.faults.setdefault(method, []).extend([fault] * times)

    def heal(self) -> None:
        """No more faults; what hangs may go on."""
        self.faults.clear()
        self.always.clear()
        self.release.set()
        self.release = threading.Event()
        self.blocked.clear()

    def next_fault(self, method: str) -> Fault | None:
        """The fault for this request, used up."""
        with self.state.lock:
            waiting = self.faults.get(method)
            return waiting.pop(0) if waiting else self.always.get(method)

    def calls(self, method: str) -> int:
        """How often a method was called."""
        return sum(one.method == method for one in self.seen)

    def snapshot(self) -> dict[str, Any]:
        """State and log as JSON."""
        log = [{"method": one.method, "fault": one.fault, "authorization": one.authorization} for one in self.seen]
        return {**self.state.snapshot(), "requests": log}

    def note(self, seen: Seen) -> None:
        """Remember a request."""
        with self.state.lock:
            self.seen.append(seen)

    def save(self) -> None:
        """Write the state file, whole or not at all."""
        if self.state_file is not None:
            with self.state.lock:
                temporary = self.state_file.with_suffix(".tmp")
                temporary.write_text(json.dumps(self.snapshot(), indent=1), "utf-8")
                temporary.replace(self.state_file)


def catalogue() -> dict[str, Fault]:
    """The faults by the names that ``--fault`` takes, such as ``too_many`` or ``dropped``."""
    named = vars(fault_catalogue).items()
    return {name.lower(): value for name, value in named if isinstance(value, Fault)}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A stand-in for Kaggle on this machine.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--state", type=Path, help="a JSON file that always holds what the server knows")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="METHOD=NAME",
        help=f"play a fault once; NAME is one of {', '.join(sorted(catalogue()))}",
    )
    options = parser.parse_args()
    with KaggleServer(port=options.port, state_file=options.state) as server:
        for wish in options.fault:
            method, _, name = wish.partition("=")
            if name not in catalogue():
                parser.error(f"--fault {wish}: no fault is called {name!r}")
            server.inject(method, catalogue()[name])
        server.save()
        print(json.dumps({"url": server.url, "user": USER, "key": KEY}), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
