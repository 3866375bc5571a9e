"""The stand-in's side of HTTP: reads requests, plays faults, writes answers."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from hub import faults, uploads
from hub.faults import Fault, What
from hub.repository import Blob, Kind, Repository, Revision

if TYPE_CHECKING:
    from hub.server import HubServer

TOKEN = "hf_abcdefghijklmnopqrstuvwxyzabcdefgh"
"""The one token that the stand-in knows; it opens gated and private repositories."""


@dataclass(frozen=True)
class Asked:
    """One request, for assertions.

    Attributes:
        method: ``GET``, ``HEAD``, ``POST`` or ``PUT``.
        what: the kind of request.
        repository: ``OWNER/NAME`` or ``NAME``; empty for what is about none.
        path: of the file (``head``, ``file``), of the folder (``tree``), else of the request.
        first: byte that a range began with; 0 without one.
        authorization: whether a token came along.
        fault: name of the fault that was played.
    """

    method: str
    what: What
    kind: Kind
    repository: str
    path: str
    first: int
    authorization: bool
    fault: str | None


@dataclass(frozen=True)
class Address:
    """What a request is about."""

    what: What
    kind: Kind = "models"
    repository: str = ""
    revision: str = "main"
    path: str = ""
    stored: bool = False
    """Whether it asks the storage of large files, at the other host."""


def address(path: str, revisions: Callable[[Kind, str], list[str]], method: str) -> Address:
    """Take a request's path apart.

    Args:
        path: quoted, without the query.
        revisions: the names of a repository's revisions; a name may hold slashes (``refs/pr/1``).
        method: of the request.
    """
    if step := uploads.step_of(path):
        return Address(step[0], path=path)  # type: ignore[arg-type]
    parts = unquote(path).strip("/").split("/")
    stored = parts[0] == "storage"
    parts = parts[1:] if stored else parts
    api = parts[0] == "api"
    parts = parts[1:] if api else parts
    kind: Kind = "models"
    if parts and parts[0] in ("models", "datasets"):
        kind = "datasets" if parts.pop(0) == "datasets" else "models"
    elif api:
        return Address("other", path=path)
    verbs = ("revision", "tree", "paths-info") if api else ("resolve",)
    at = next((i for i, part in enumerate(parts) if part in verbs and i in (1, 2)), None)
    if at is None:
        return Address("info", kind, "/".join(parts)) if api and len(parts) < 3 else Address("other", path=path)
    name, verb, rest = "/".join(parts[:at]), parts[at], unquote("/".join(parts[at + 1 :]))
    known = sorted(revisions(kind, name), key=len, reverse=True)
    revision = next((one for one in known if rest == one or rest.startswith(f"{one}/")), rest.partition("/")[0])
    if verb == "revision":
        return Address("info", kind, name, rest)
    inner = rest.removeprefix(revision).lstrip("/")
    if verb in ("tree", "paths-info"):
        return Address("tree", kind, name, revision, inner)
    return Address("head" if method == "HEAD" else "file", kind, name, revision, inner, stored)


class Handler(BaseHTTPRequestHandler):
    """One connection; the server's ``stand_in`` is what it speaks for."""

    protocol_version = "HTTP/1.1"
    # A little answer in two packets waits for the client's delayed acknowledgement otherwise.
    disable_nagle_algorithm = True
    fault: Fault | None = None

    @property
    def stand_in(self) -> HubServer:
        return self.server.stand_in  # type: ignore[attr-defined,no-any-return]

    def setup(self) -> None:
        super().setup()
        self.stand_in.connections.add(self.connection)

    def finish(self) -> None:
        self.stand_in.connections.discard(self.connection)
        super().finish()

    def log_message(self, *_: object) -> None:
        """Tests read ``asked``."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_HEAD(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def _body(self) -> bytes:
        """All of it; commits come in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    # -------------------------------------------------------------------------------------------------------- requests
    def _serve(self, body: bytes) -> None:
        hub = self.stand_in
        asked = address(urlsplit(self.path).path, hub.revisions, self.command)
        fault = self.fault = None
        if asked.what != "file" or not self._is_redirected(asked):  # where the way only leads on, nothing happens
            fault = self.fault = hub.next_fault(asked)
            path = asked.path if asked.what in ("tree", "head", "file") else urlsplit(self.path).path
            token, name = "Authorization" in self.headers, fault.name if fault else None
            hub.note(Asked(self.command, asked.what, asked.kind, asked.repository, path, self._range()[0], token, name))
        if fault is None and (step := uploads.step_of(urlsplit(self.path).path)):
            self._upload(*step, body)
        elif fault is None or fault.kind in ("truncate", "corrupt", "stall", "whole"):
            self._answer(asked, body)
        elif fault.kind == "answer":
            self._refuse(fault)
        else:
            self.close_connection = True
            if fault.kind == "hang":
                self._wait()

    def do_PUT(self) -> None:
        self.do_POST()

    def _upload(self, step: str, found: re.Match[str], body: bytes) -> None:
        may_write = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        done = uploads.upload(self.stand_in, step, found, body, may_write=may_write)
        if isinstance(done, Fault):
            self._refuse(done)
        else:
            self._send(done[0], json.dumps(done[1]).encode(), "application/json; charset=utf-8")

    def _plays(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind

    def _wait(self) -> None:
        release = self.stand_in.release
        self.stand_in.blocked.set()
        release.wait(60)

    def _write(self, content: bytes) -> None:
        self.wfile.write(content)
        self.stand_in.sent += len(content)

    def _answer(self, asked: Address, body: bytes) -> None:
        if asked.what == "other":
            harnesses = {"standardEnvVars": [], "harnesses": {}}
            known = asked.path == "/api/agent-harnesses"
            self._json(harnesses) if known else self._refuse(faults.refusal(404))
            return
        repository = self.stand_in.repositories.get((asked.kind, asked.repository))
        if (refused := self._barred(repository, asked)) is not None or repository is None:
            self._refuse(refused or faults.NO_REPOSITORY)
            return
        revision = repository.find(asked.revision)
        if revision is None:
            self._refuse(faults.NO_REVISION)
        elif asked.what == "info":
            self._json(about(repository, revision))
        elif asked.what == "tree":
            self._tree(revision, asked, body)
        elif asked.path not in revision.files:
            self._refuse(faults.NO_FILE, {"X-Repo-Commit": revision.sha})
        else:
            self._file(asked, revision, revision.files[asked.path])

    def _barred(self, repository: Repository | None, asked: Address) -> Fault | None:
        """Why this client may not see a repository; the storage asks for a signed address only."""
        given = self.headers.get("Authorization")
        if asked.stored:
            return None
        if given not in (None, f"Bearer {TOKEN}", f"Bearer {uploads.READ_ONLY}"):
            return faults.BAD_TOKEN
        if repository is None or repository.private:
            if given is None:  # the hub does not tell strangers what there is
                return faults.HIDDEN
            return None if repository is not None else faults.NO_REPOSITORY
        if repository.gated and asked.what in ("head", "file") and given is None:
            return faults.GATED_ANONYMOUS
        return None

    def _tree(self, revision: Revision, asked: Address, body: bytes) -> None:
        entries = listing(revision)
        if self.command == "POST":  # paths-info
            sent = body.decode()
            form = json.loads(sent) if sent.startswith("{") else parse_qs(sent)
            wanted = form.get("paths", [])
            wanted = [wanted] if isinstance(wanted, str) else wanted
            self._json([entry for entry in entries if entry["path"] in wanted])
            return
        folder = f"{asked.path}/" if asked.path else ""
        below = [entry for entry in entries if entry["path"].startswith(folder)]
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
        if asked.path and not below:
            self._refuse(faults.NO_FILE)
        else:
            self._json([entry for entry in below if recursive or "/" not in entry["path"].removeprefix(folder)])

    def _file(self, asked: Address, revision: Revision, blob: Blob) -> None:
        headers = {"X-Repo-Commit": revision.sha, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.large:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.content))}
        if self._is_redirected(asked):
            place = f"{asked.kind}/{asked.repository}/resolve/{revision.sha}/{quote(asked.path)}"
            headers["Location"] = f"{self.stand_in.storage}/storage/{place}?signature=5ec7e7"
            self._send(302, b"", "text/plain", headers)
            return
        content = blob.content
        if self._plays("corrupt"):
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        first, last = (0, None) if self._plays("whole") else self._range()
        last = min(len(content), len(content) if last is None else last + 1)
        if first or last < len(content):
            headers["Content-Range"] = f"bytes {first}-{last - 1}/{len(content)}"
            self._send(206, content[first:last], "application/octet-stream", headers)
        else:
            self._send(200, content, "application/octet-stream", headers)

    def _is_redirected(self, asked: Address) -> bool:
        """Whether the answer is only where the file lies: so it is with large files."""
        if asked.what not in ("head", "file") or asked.stored:
            return False
        repository = self.stand_in.repositories.get((asked.kind, asked.repository))
        revision = repository.find(asked.revision) if repository else None
        blob = revision.files.get(asked.path) if revision else None
        return blob is not None and blob.large

    def _range(self) -> tuple[int, int | None]:
        """First and last byte that are asked for, the last included; (0, None): all."""
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            return 0, None
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        return int(first or 0), int(last) if last else None

    # -------------------------------------------------------------------------------------------------------- answers
    def _json(self, answer: Any) -> None:
        self._send(200, json.dumps(answer).encode(), "application/json; charset=utf-8")

    def _refuse(self, fault: Fault, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": fault.headers.get("X-Error-Message", "")}).encode()
        self._send(fault.status, body, "application/json; charset=utf-8", fault.headers | (headers or {}))

    def _send(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        cut = self._plays("truncate")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                half = len(body) // 2
                self._write(body[:half])
                if self._plays("stall"):
                    self._wait()
                self._write(b"" if cut else body[half:])
        self.close_connection = self.close_connection or cut


def about(repository: Repository, revision: Revision) -> dict[str, Any]:
    """What the hub tells of a repository."""
    return {
        "_id": revision.sha[:24],
        "id": repository.name,
        "modelId": repository.name,
        "sha": revision.sha,
        "private": repository.private,
        "gated": "auto" if repository.gated else False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "lastModified": "2026-01-02T03:04:05.000Z",
        "createdAt": "2026-01-02T03:04:05.000Z",
        "siblings": [{"rfilename": path} for path in sorted(revision.files)],
    }


def listing(revision: Revision) -> list[dict[str, Any]]:
    """Files and folders of a revision, by path."""
    folders = {"/".join(path.split("/")[:n]) for path in revision.files for n in range(1, path.count("/") + 1)}
    entries: list[dict[str, Any]] = [
        {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in folders
    ]
    for path, blob in revision.files.items():
        entry: dict[str, Any] = {"type": "file", "oid": blob.etag[:40], "size": len(blob.content), "path": path}
        if blob.large:
            entry["lfs"] = {"oid": blob.etag, "size": len(blob.content), "pointerSize": 134}
        entries.append(entry)
    return sorted(entries, key=lambda entry: str(entry["path"]))
