"""The stand-in's side of HTTP: reads requests, plays faults, writes answers."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from competitions import RefusalError, zipped

if TYPE_CHECKING:
    from kaggle_server import KaggleServer

USER = "tester"
KEY = "0123456789abcdef0123456789abcdef"
TOKEN = "KGAT_fedcba9876543210fedcba9876543210"

SERVICES = tuple(
    f"/v1/{name}ApiService/"
    for name in ("competitions.Competition", "kernels.Kernels", "datasets.Dataset", "blobs.Blob")
)
LOG = "/v1/kernels/logs/stream/"
INTROSPECT = "/v1/security.OAuthService/IntrospectToken"


@dataclass(frozen=True)
class Seen:
    """One request, for assertions. ``method`` is the RPC's name, ``PUT`` for an upload, ``GET`` for a download."""

    method: str
    body: dict[str, Any]
    authorization: bool
    fault: str | None


class Handler(BaseHTTPRequestHandler):
    """One connection; the server's ``stand_in`` is what it speaks for."""

    protocol_version = "HTTP/1.1"
    # A little answer in two packets waits for the client's delayed acknowledgement otherwise.
    disable_nagle_algorithm = True

    @property
    def stand_in(self) -> KaggleServer:
        return self.server.stand_in  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *_: object) -> None:
        """Tests read ``seen``."""

    def do_POST(self) -> None:
        path, body = self._path(), self._body()
        if path == INTROSPECT:
            self._play("IntrospectToken", {}, lambda: self._json(self._introspect(json.loads(body or b"{}"))))
        elif path.startswith(SERVICES):
            method = path.rpartition("/")[2]
            request = json.loads(body or b"{}")
            self._play(method, request, lambda: self._rpc(method, request))
        else:
            self._refuse(404, f"no such path: {path}")

    def do_PUT(self) -> None:
        path, body = self._path(), self._body()
        token = path.removeprefix("/upload/")

        def store() -> None:
            if token not in self.stand_in.state.blobs:
                self._refuse(404, "unknown upload")
                return
            with self.stand_in.state.lock:
                self.stand_in.state.blobs[token] = body
            self._send(200, b"", "text/plain")

        self._play("PUT", {"token": token, "bytes": len(body)}, store)

    def do_GET(self) -> None:
        path = self._path()
        if path == "/__state__":
            self._json(self.stand_in.snapshot())
            return
        if path.startswith(LOG):
            owner, _, slug = path.removeprefix(LOG).partition("/")
            self._play("Log", {"userName": owner, "kernelSlug": slug}, lambda: self._log(owner, slug))
            return
        self._play("GET", {"path": path}, lambda: self._download(path))

    # -------------------------------------------------------------------------------------------------------- requests
    def _path(self) -> str:
        """The path: of an absolute target too, which is what a client sends to a proxy, and below ``/api``."""
        path = unquote(urlsplit(self.path).path)
        return path.removeprefix("/api")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _authorised(self) -> bool:
        given = self.headers.get("Authorization", "")
        basic = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        return given in (f"Basic {basic}", f"Bearer {TOKEN}")

    def _introspect(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"active": True, "username": USER} if request.get("token") == TOKEN else {}

    def _rpc(self, method: str, request: dict[str, Any]) -> None:
        if not self._authorised():
            self._refuse(401, "Unauthenticated")
            return
        try:
            if method in ("DownloadDataFile", "DownloadDataFiles"):
                self._redirect(method, request)
            else:
                self._json(self.stand_in.state.call(method, request, storage=self.stand_in.storage))
        except RefusalError as refusal:
            self._refuse(refusal.status, str(refusal))

    def _redirect(self, method: str, request: dict[str, Any]) -> None:
        competition = self.stand_in.state.participating(request)
        if method == "DownloadDataFiles":
            place = f"/archive/{competition.slug}.zip"
        else:
            name = request.get("fileName", "")
            if name not in competition.files:
                raise RefusalError(404, f"File '{name}' was not found")
            place = f"/files/{competition.slug}/{name}" + (".zip" if name in competition.zipped else "")
        location = f"{self.stand_in.storage}{place}?signature=5ec7e7"
        self._send(302, b"", "text/html", {"Location": location})

    def _log(self, owner: str, slug: str) -> None:
        """A session's log: as it comes while it runs, as a whole afterwards."""
        if not self._authorised():
            self._refuse(401, "Unauthenticated")
            return
        try:
            kernel = self.stand_in.state.notebooks.kernel({"userName": owner, "kernelSlug": slug})
        except RefusalError as refusal:
            self._refuse(refusal.status, str(refusal))
            return
        if kernel.status != "RUNNING":
            self._json([{"stream_name": "stdout", "time": 0, "data": line} for line in kernel.lines])
            return
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while (running := kernel.status == "RUNNING") or sent < len(kernel.lines):
                for line in kernel.lines[sent:]:
                    self.wfile.write(b"data: " + json.dumps({"stream_name": "stdout", "data": line}).encode() + b"\n\n")
                    sent += 1
                if running:
                    time.sleep(0.02)
            self.wfile.write(b"data: END_OF_LOG\n\n")

    def _download(self, path: str) -> None:
        kind, _, rest = path.lstrip("/").partition("/")
        competitions = self.stand_in.state.competitions
        if kind == "archive" and rest.removesuffix(".zip") in competitions:
            content = competitions[rest.removesuffix(".zip")].bundle()
        elif kind == "files" and rest.partition("/")[0] in competitions:
            slug, _, name = rest.partition("/")
            files = competitions[slug].files
            plain = name.removesuffix(".zip")
            content = files[name] if name in files else zipped({plain.rpartition("/")[2]: files[plain]})
        elif kind == "output" and (found := self._output(rest)) is not None:
            content = found
        else:
            self._refuse(404, "no such file")
            return
        first = 0
        wanted = self.headers.get("Range", "")
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{hash(content):x}"'}
        headers["Last-Modified"] = "Fri, 02 Jan 2026 03:04:05 GMT"
        if wanted.startswith("bytes=") and wanted.endswith("-"):
            first = int(wanted[6:-1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._send(206 if first else 200, content[first:], "application/octet-stream", headers)

    def _output(self, path: str) -> bytes | None:
        owner, slug, name = path.split("/", 2)
        kernel = self.stand_in.state.notebooks.kernels.get(f"{owner}/{slug}")
        return None if kernel is None else kernel.outputs.get(name)

    # -------------------------------------------------------------------------------------------------------- answers
    def _play(self, method: str, request: dict[str, Any], act: Callable[[], None]) -> None:
        """Act, unless a fault comes before, after or instead."""
        server = self.stand_in
        fault = server.next_fault(method)
        server.note(Seen(method, request, "Authorization" in self.headers, fault.name if fault else None))
        self.truncate = fault is not None and fault.kind == "truncate"
        self.muted = fault is not None and not self.truncate
        if fault is None or fault.acts:
            act()
        self.muted = False
        if fault is None:
            return
        server.save()
        if fault.kind == "answer":
            self._send(fault.status, fault.body, fault.content_type, fault.headers)
            return
        self.close_connection = True
        if fault.kind == "hang":
            release = server.release
            server.blocked.set()
            release.wait(60)

    def _json(self, answer: Any) -> None:
        self._send(200, json.dumps(answer).encode(), "application/json; charset=utf-8")

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, json.dumps({"code": status, "message": message}).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        if getattr(self, "muted", False):
            return
        self.stand_in.save()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if getattr(self, "truncate", False) else body)
            if getattr(self, "truncate", False):
                self.close_connection = True
