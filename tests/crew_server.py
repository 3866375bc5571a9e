"""Forks the processes of a ``qakit`` command that run together; each notes what it writes. Used by ``crew.py``.

A job that names a ``program``, the path of a module in a tests' folder, is done by the function ``work`` there.
"""

from __future__ import annotations

import atexit
import errno
import faulthandler
import importlib
import os
import sys
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from fork_server import enter, import_all, run_qakit, serve, warm_up

from qakit.training import exchange, finish
from qakit_heads.linear_span import LinearSpan

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "tempfile.mkdtemp", "tempfile.mkstemp"}


def note_writes(path: Path) -> None:
    """From now on every path that Python code opens for writing, makes, renames or removes is noted in a file."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
            os.write(log, f"{arguments[0]}\n".encode())

    sys.addaudithook(note)


def refuse_writing(folder: str) -> None:
    """From now on nothing in ``folder`` can be written by Python code, as on a file system that is read-only."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING)
        if changes and str(arguments[1 if event == "os.rename" else 0]).startswith(folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    sys.addaudithook(refuse)


def shard_on_cpu() -> None:
    """Let accelerate follow its FSDP settings on the CPU, too: it does so only where it sees several GPUs."""
    begin = AcceleratorState.__init__

    def sharding(self: AcceleratorState, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        begin(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None:
            self.fsdp_plugin, self.distributed_type = fsdp_plugin, DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = sharding


def break_head() -> None:
    """From now on the head `linear_span` fails in every forward pass."""

    def broken(*_: Any) -> NoReturn:
        raise ZeroDivisionError

    LinearSpan.forward = broken  # type: ignore[method-assign]


def begin_otherwise() -> None:
    """From now on the head `linear_span` begins with other weights than in other processes."""
    begin = LinearSpan.__init__

    @wraps(begin)
    def elsewhere(self: LinearSpan, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter += 1.0

    LinearSpan.__init__ = elsewhere  # type: ignore[method-assign]


def fit_only(most: int, *, backward: bool) -> None:
    """From now on no more windows than so many fit into memory in a training. ``backward``: it runs out in the backward
    pass, once the head has its gradients."""
    forward = LinearSpan.forward

    def ran_out(*_: Any) -> NoReturn:
        raise torch.OutOfMemoryError("out of memory")

    def limited(self: LinearSpan, hidden: Any, batch: Any) -> Any:
        if self.training and len(batch) > most:
            if not backward or not hidden.requires_grad:
                ran_out()
            hidden.register_hook(ran_out)
        return forward(self, hidden, batch)

    LinearSpan.forward = limited  # type: ignore[method-assign]


def work(job: dict[str, Any]) -> int:
    """In the child: the job's whole life; returns the exit code."""
    if "program" not in job:
        _work_together(job)
    program = Path(job["program"])
    sys.path.insert(0, str(program.parent))
    code: int = importlib.import_module(program.stem).work(job)
    return code


def _work_together(job: dict[str, Any]) -> NoReturn:
    """The whole life of one process of several. Not to the interpreter's own end, which takes half a second to tidy
    what was imported; processes of real launchers end like that, see ``test_launchers.py``."""
    enter(job)
    faulthandler.enable()  # where a crash in C++ came from
    os.setpgid(0, 0)
    note_writes(Path(job["writes"]))
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        shard_on_cpu()
    if "KEEP_CHECKPOINTS" in os.environ:
        finish.forget_training = lambda run: None  # type: ignore[assignment]
    if "REFUSE_WRITING" in os.environ:
        refuse_writing(os.environ["REFUSE_WRITING"])
    if "BREAK_HEAD" in os.environ:
        break_head()
    if "BEGIN_OTHERWISE" in os.environ:
        begin_otherwise()
    if "FIT_ONLY" in os.environ:
        fit_only(int(os.environ["FIT_ONLY"]), backward="IN_BACKWARD" in os.environ)
    if "BUCKET" in os.environ:
        exchange.BUCKET = int(os.environ["BUCKET"])
    code = run_qakit()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import_all()
    warm_up()
    serve(work)
