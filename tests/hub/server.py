"""A stand-in for the model hub on this machine: repositories, a log of what was asked for, and faults.

In a test, take the fixture ``hub``. By itself: ``python tests/hub/server.py [datasets:]OWNER/NAME=FOLDER ...`` prints
the environment that points any process at it. Standard library only; listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose modules have common names
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hub.faults import Fault, What
from hub.http_side import Address, Asked, Handler
from hub.repository import Files, Kind, Repository, Revision


class HubServer:
    """The server and its thread.

    Attributes:
        repositories: what is published, by kind (``models``, ``datasets``) and name.
        storage_room: uploaded large files by their SHA-256, also those that no commit has.
        taken: names under which no model can be made, as something else has them.
        asked: every request in the order of arrival; redirects to the storage of large files are left out.
        sent: bytes of all answers.
        blocked: set as soon as a request hangs; ``release`` lets go of all that hang.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[Kind, str], Repository] = {}
        self.storage_room: dict[str, bytes] = {}
        self.taken: set[str] = set()
        self.asked: list[Asked] = []
        self.sent = 0
        self.plans: list[tuple[Fault, What | None, str | None, list[None] | None]] = []
        self.connections: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.blocked = threading.Event()
        self.release = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.stand_in = self  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> HubServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """From now on every connection is refused, as without a network; those that are open break."""
        if self.thread.is_alive():
            self.release.set()
            self.http.shutdown()
            self.http.server_close()
            self.thread.join()
            for connection in tuple(self.connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        """What clients take for the hub (HF_ENDPOINT)."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    @property
    def storage(self) -> str:
        """Where large files lie: another host name than the hub's, so tokens must not follow."""
        return f"http://localhost:{self.http.server_address[1]}"

    # ------------------------------------------------------------------------------------------------- what there is
    def publish(
        self,
        name: str,
        files: Files,
        *,
        kind: Kind = "models",
        branch: str = "main",
        gated: bool = False,
        private: bool = False,
    ) -> str:
        """Publish a folder, or contents by path, as the whole content of a branch; the commit's id.

        Publishing again makes a new commit of the branch. ``gated`` and ``private`` want a token (``TOKEN``).
        """
        with self.lock:
            repository = self.repositories.setdefault((kind, name), Repository(kind, name))
            repository.gated, repository.private = gated, private
            return repository.commit(branch, files).sha

    def publish_dataset(self, name: str, files: Files, *, branch: str = "main", gated: bool = False) -> str:
        """The same for a dataset."""
        return self.publish(name, files, kind="datasets", branch=branch, gated=gated)

    def revisions(self, kind: Kind, name: str) -> list[str]:
        """Names of branches and ids of commits."""
        repository = self.repositories.get((kind, name))
        return [*repository.branches, *repository.history] if repository else []

    def revision(self, name: str, revision: str = "main", *, kind: Kind = "models") -> Revision:
        """A published revision."""
        found = self.repositories[kind, name].find(revision)
        assert found is not None, f"{name} has no revision {revision}"
        return found

    # -------------------------------------------------------------------------------------------------- what was asked
    def note(self, asked: Asked) -> None:
        """Remember a request."""
        with self.lock:
            self.asked.append(asked)

    def fetched(self, name: str, *, kind: Kind = "models") -> list[str]:
        """Paths of the files whose content was sent, sorted; one that was sent twice stands here twice."""
        return sorted(
            one.path
            for one in self.asked
            if (one.kind, one.repository, one.what) == (kind, name, "file") and one.fault is None
        )

    def forget(self) -> None:
        """Empty the log."""
        with self.lock:
            self.asked.clear()
            self.sent = 0

    # ---------------------------------------------------------------------------------------------------------- faults
    def inject(self, fault: Fault, what: What | None = None, *, path: str | None = None, times: int | None = 1) -> None:
        """Play ``fault`` for the next ``times`` requests of a kind; ``None``: of any kind, for all.

        Args:
            fault: see :mod:`hub.faults`.
            what: ``info``, ``tree``, ``head``, ``file``; a step of an upload (:data:`hub.uploads.STEPS`).
            path: for this file only.
            times: how often.
        """
        self.plans.append((fault, what, path, None if times is None else [None] * times))

    def heal(self) -> None:
        """No more faults; what hangs may go on."""
        with self.lock:
            self.plans.clear()
        self.release.set()
        self.release = threading.Event()
        self.blocked.clear()

    def next_fault(self, asked: Address) -> Fault | None:
        """The fault for this request, used up."""
        with self.lock:
            for fault, what, path, left in self.plans:
                wanted = asked.what != "other" if what is None else asked.what == what
                if wanted and path in (None, asked.path) and left != []:
                    if left is not None:
                        left.pop()
                    return fault
        return None


def main() -> None:
    """Serve folders until interrupted."""
    from hub.environment import variables

    with HubServer() as server:
        for wish in sys.argv[1:]:
            name, _, folder = wish.partition("=")
            kind, _, name = name.rpartition(":")
            server.publish(name, Path(folder), kind="datasets" if kind == "datasets" else "models")
        settings = variables(server.url, Path("hf-home").resolve())
        print(" ".join(f"{key}={value}" for key, value in settings.items() if value is not None), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
