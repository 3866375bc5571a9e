"""The stand-in's datasets and notebooks: what is pushed runs at once, in a way that a test chooses.

``ended`` is over in no time, with a made-up run; :class:`Executed` really executes the notebook's cells on this
machine, each session in a process of its own, with qakit installed from the wheel that was uploaded.
"""

from __future__ import annotations

import ast
import hashlib
import json
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from competitions import RefusalError

OWNER = "tester"


@dataclass
class Kernel:
    """A notebook, and its newest session."""

    ref: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    """One for each version."""
    status: str = "RUNNING"
    message: str = ""
    lines: list[str] = field(default_factory=list)
    outputs: dict[str, bytes] = field(default_factory=dict)

    @property
    def order(self) -> dict[str, Any]:
        """What the newest version's notebook says to ``qakit.sessions.there``."""
        cells = json.loads(self.requests[-1]["text"])["cells"]
        last = cells[-1]["source"]
        assignment = next(each for each in ast.parse(last).body if isinstance(each, ast.Assign))
        value: dict[str, Any] = ast.literal_eval(assignment.value)
        return value


Runner = Callable[["Notebooks", Kernel], None]


def report_of(kernel: Kernel, state: str, files: dict[str, bytes], **more: Any) -> dict[str, bytes]:
    """A session's output: these files of its run, and the report of them."""
    facts = {name: {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in files.items()}
    order = kernel.order
    report = {"session": order["session"], "run": order["name"], "state": state, "files": facts} | more
    outputs = {f"{order['name']}/{name}": text for name, text in files.items()}
    return outputs | {"qakit-session.json": json.dumps(report).encode()}


def ended(state: str = "FINISHED", progress: str = "finished") -> Runner:
    """A session that is over at once, with a run of two files."""

    def run(_: Notebooks, kernel: Kernel) -> None:
        texts = {name: text.encode() for name, text in kernel.order["texts"].items()}
        files = texts | {"metrics.json": b"{}\n"}
        kernel.outputs = report_of(kernel, state, files, progress=progress)
        kernel.lines = ["hello\n", f"qakit: {state.lower()}\n"]
        kernel.status = "COMPLETE"

    return run


class Notebooks:
    """Datasets and notebooks of one user."""

    def __init__(self) -> None:
        self.datasets: dict[str, list[tuple[str, bytes]]] = {}
        self.taking_in: dict[str, int] = {}
        """Looks at a dataset until it is ready."""
        self.kernels: dict[str, Kernel] = {}
        self.gpu_hours = (4.0, 30.0)
        self.run: Runner = ended()
        self.lock = threading.RLock()

    def call(self, method: str, request: dict[str, Any], blobs: dict[str, tuple[str, bytes]]) -> dict[str, Any] | None:
        """Answer one RPC; None for methods of other services."""
        with self.lock:
            match method:
                case "GetDatasetStatus":
                    return self._status(f"{request['ownerSlug']}/{request['datasetSlug']}")
                case "CreateDataset":
                    return self._create(request, blobs)
                case "SaveKernel":
                    return self._save(request)
                case "GetKernel":
                    kernel = self.kernel(request)
                    facts = {"ref": kernel.ref, "currentVersionNumber": len(kernel.requests)}
                    return {"metadata": facts, "blob": {"source": kernel.requests[-1]["text"]}}
                case "ListKernels":
                    return {"kernels": [{"ref": ref} for ref in reversed(self.kernels)]}
                case "GetKernelSessionStatus":
                    kernel = self.kernel(request)
                    return {"status": kernel.status, "failureMessage": kernel.message}
                case "DeleteKernel":
                    del self.kernels[self.kernel(request).ref]
                    return {}
                case "GetAcceleratorQuotaStatistics":
                    used, allowed = (f"{3600 * hours:.0f}s" for hours in self.gpu_hours)
                    return {"gpuQuota": {"timeUsed": used, "totalTimeAllowed": allowed}}
        return None

    def listed(self, request: dict[str, Any], storage: str) -> dict[str, Any]:
        """A page of a session's output."""
        kernel, start = self.kernel(request), int(request.get("pageToken") or 0)
        names = sorted(kernel.outputs)
        files = [
            {"fileName": name, "url": f"{storage}/output/{kernel.ref}/{name}"} for name in names[start : start + 5]
        ]
        more = {"nextPageToken": str(start + 5)} if start + 5 < len(names) else {}
        return {"files": files, "log": "".join(kernel.lines), **more}

    def kernel(self, request: dict[str, Any]) -> Kernel:
        """The notebook that a request names."""
        ref = f"{request.get('userName')}/{request.get('kernelSlug')}"
        if ref not in self.kernels:
            raise RefusalError(403, "Permission 'kernels.get' was denied")
        return self.kernels[ref]

    def _status(self, ref: str) -> dict[str, Any]:
        if ref not in self.datasets:
            raise RefusalError(403, "Permission 'datasets.get' was denied")
        left = self.taking_in.get(ref, 0)
        self.taking_in[ref] = left - 1
        return {} if left > 0 else {"status": "READY"}

    def _create(self, request: dict[str, Any], blobs: dict[str, tuple[str, bytes]]) -> dict[str, Any]:
        ref = f"{request['ownerSlug']}/{request['slug']}"
        assert request["isPrivate"], "private data stays private"
        if ref in self.datasets:
            return {"status": "error", "error": "The requested title is already in use by a dataset."}
        self.datasets[ref] = [blobs[file["token"]] for file in request["files"]]
        self.taking_in[ref] = 1
        return {"ref": ref, "status": "ok"}

    def _save(self, request: dict[str, Any]) -> dict[str, Any]:
        ref = request["slug"]
        assert request["isPrivate"]
        assert request["newTitle"].replace(" ", "-") == ref.partition("/")[2], "Kaggle names it by its title"
        assert 5 <= len(request["newTitle"]) <= 50
        missing = [each for each in request.get("datasetDataSources", []) if each not in self.datasets]
        assert all(isinstance(cell["source"], str) for cell in json.loads(request["text"])["cells"])
        kernel = self.kernels.setdefault(ref, Kernel(ref))
        kernel.requests.append(request)
        self.run(self, kernel)
        return {"ref": f"/code/{ref}", "versionNumber": len(kernel.requests), "invalidDatasetSources": missing}


class Executed:
    """Runs notebooks for real.

    Args:
        folder: where each session gets inputs, output and installed packages.
        competitions: slug -> files.
        stop_after: of each session in turn, after how many steps its training is asked to stop; 0: not at all.
    """

    def __init__(self, folder: Path, competitions: dict[str, dict[str, bytes]], *stop_after: int) -> None:
        self.folder, self.competitions, self.stop_after = folder, competitions, list(stop_after)
        self.commands: list[list[str]] = []

    def __call__(self, notebooks: Notebooks, kernel: Kernel) -> None:
        """Start it."""
        stop = self.stop_after.pop(0) if self.stop_after else 0
        threading.Thread(target=self._safely, args=(notebooks, kernel, stop), daemon=True).start()

    def _safely(self, notebooks: Notebooks, kernel: Kernel, stop: int) -> None:
        try:
            self._run(notebooks, kernel, stop)
        except BaseException:
            kernel.message, kernel.status = traceback.format_exc(), "ERROR"
            raise

    def _run(self, notebooks: Notebooks, kernel: Kernel, stop: int) -> None:
        desk = self.folder / kernel.ref.replace("/", "-")
        inputs, output = desk / "input", desk / "working"
        self._lay_out(notebooks, kernel.requests[-1], inputs)
        write(desk / "packages" / "sitecustomize.py", STOPPING)
        from notebooks import start  # of the tests' folder, which the server as a process of its own has not

        child = start(json.loads(kernel.requests[-1]["text"]), desk, inputs, STOP_AFTER=str(stop))
        assert child.stdout is not None
        for line in child.stdout:
            kernel.lines.append(line)
        code = child.wait()
        files = [path for path in output.rglob("*") if path.is_file()]
        kernel.outputs = {path.relative_to(output).as_posix(): path.read_bytes() for path in files}
        kernel.message = f"exit code {code}" if code else ""
        kernel.status = "ERROR" if code else "COMPLETE"

    def _lay_out(self, notebooks: Notebooks, request: dict[str, Any], inputs: Path) -> None:
        for ref in request.get("datasetDataSources", []):
            for name, content in notebooks.datasets[ref]:
                write(inputs / ref.partition("/")[2] / name, content)
        for slug in request.get("competitionDataSources", []):
            for name, content in self.competitions[slug].items():
                write(inputs / "competitions" / slug / name, content)
        for ref in request.get("kernelDataSources", []):
            for name, content in notebooks.kernels[ref].outputs.items():
                write(inputs / "notebooks" / ref / name, content)


STOPPING = b"""
import json, os, signal
dumps, after = json.dumps, int(os.environ["STOP_AFTER"])
def counted(value, **options):
    if after and isinstance(value, dict) and value.get("event") == "StepDone" and value["step"] == after:
        os.kill(os.getpid(), signal.SIGTERM)  # as it is when the session's time is over
    return dumps(value, **options)
json.dumps = counted
"""
"""In a session's processes: the one that trains is asked to stop when it tells of a step."""


def write(path: Path, content: bytes) -> None:
    """A file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
