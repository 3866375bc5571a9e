"""A process that has imported everything slow and forks one ``qakit`` process for each job: the part of the server.

It reads jobs from stdin and writes replies to stdout, one JSON object a line; ``fork_client.py`` is the other end. A
program in a tests' folder imports what its jobs need and calls :func:`serve` with what a job does. Who starts
``ForkServer.python`` in Python's place gets a process from here as well (``forked_python.py``).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import marshal
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import quick
from hub.environment import put

import qakit
from qakit.cli import main
from qakit.cli.commands import AllCommands
from qakit.registry import load_registry

DOOR = "FORK_SERVER_DOOR"
"""The variable with the path of the socket at which ``forked_python.py`` knocks."""


def serve(work: Callable[[dict[str, Any]], int]) -> None:
    """Fork for every job, report every end, until stdin is closed.

    Args:
        work: in the child: the job's whole life; returns the exit code.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write_end)
    jobs: dict[int, int | socket.socket] = {}
    watch = selectors.DefaultSelector()
    watch.register(sys.stdin.fileno(), selectors.EVENT_READ)
    watch.register(read_end, selectors.EVENT_READ)
    door = socket.socket(socket.AF_UNIX)
    door.bind(os.environ.pop(DOOR))
    door.listen(64)
    watch.register(door, selectors.EVENT_READ)
    buffer = b""
    answers = os.fdopen(os.dup(1), "w")

    def reply(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    def forked(life: Callable[[], int]) -> int:
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answers.close()
            code = life()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        return child

    quick.be_quick()
    dict(AllCommands())  # imports them
    gc.freeze()  # children neither look through what was imported here nor copy its pages for doing so
    reply(ready=True)
    while True:
        for key, _ in watch.select():
            if key.fileobj is door:
                caller, _ = door.accept()
                asked, streams = _received(caller)
                child = forked(lambda asked=asked, streams=streams: run_python(*asked, streams))  # type: ignore[misc]
                for stream in streams:
                    os.close(stream)
                jobs[child] = caller
                watch.register(caller, selectors.EVENT_READ, child)
                continue
            if key.data is not None:  # signals for the child; who stands for it was killed if there is nothing
                for number in key.fileobj.recv(64) or [signal.SIGKILL]:  # type: ignore[union-attr]
                    os.kill(key.data, number)
                continue
            data = os.read(key.fd, 65536)
            if key.fd == read_end:
                continue
            if not data:
                return
            buffer += data
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            job = json.loads(line)
            child = forked(lambda job=job: work(job))  # type: ignore[misc]
            jobs[child] = job["number"]
            reply(number=job["number"], pid=child)
        while jobs:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            code, job_of = os.waitstatus_to_exitcode(status), jobs.pop(child)
            if isinstance(job_of, int):
                reply(number=job_of, code=code)
                continue
            watch.unregister(job_of)
            with suppress(BrokenPipeError), job_of:
                job_of.sendall(code.to_bytes(4, "big", signed=True))


def _received(caller: socket.socket) -> tuple[tuple[list[str], dict[str, str], str], list[int]]:
    """Command line, environment and working folder; and the three streams."""
    size, streams, _, _ = socket.recv_fds(caller, 4, 3)
    with caller.makefile("rb") as file:
        return marshal.loads(file.read(int.from_bytes(size, "big"))), streams


def run_python(command: list[str], environment: dict[str, str], folder: str, streams: list[int]) -> int:
    """In the child: ``python -m``, ``python -c`` or ``python FILE``, as far as ``sys.exit`` and the exit functions."""
    become(command[0], environment, folder, streams)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "torch" in sys.modules and "OMP_NUM_THREADS" in environment:
        sys.modules["torch"].set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.path[:0] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    kind, *words = command[1:]
    code = _exit_code(lambda: _run(kind, words))
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    return code


def _run(kind: str, words: list[str]) -> None:
    if kind == "-m":
        sys.argv = words
        for loaded in (words[0], f"{words[0]}.__main__"):  # it begins anew
            sys.modules.pop(loaded, None)
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *words[1:]]
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [kind, *words]
        sys.path[0] = os.path.dirname(kind)  # noqa: PTH120
        runpy.run_path(kind, run_name="__main__")


def import_all() -> None:
    """Whatever a job may import later: a change of the source meanwhile shall not mix two versions."""
    load_registry()  # imports the plugins
    for module in pkgutil.walk_packages(qakit.__path__, "qakit."):
        importlib.import_module(module.name)
    plugins = [name for name in sys.modules if name.startswith("qakit_") and "." not in name]
    for name in plugins:
        for module in pkgutil.walk_packages(sys.modules[name].__path__, f"{name}."):
            with suppress(ImportError):  # what a job needs and cannot have, it says itself
                importlib.import_module(module.name)
    importlib.import_module("peft")
    importlib.import_module("matplotlib.pyplot")
    importlib.import_module("ruamel.yaml")


def warm_up() -> None:
    """What every job would do for the first time: a pass through a small encoder from a file."""
    import torch
    from transformers import BertConfig, BertModel

    torch.set_num_threads(1)
    config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        BertModel(config).save_pretrained(folder)
        BertModel.from_pretrained(folder)(torch.zeros(1, 4, dtype=torch.long))


def enter(job: dict[str, Any]) -> None:
    """Make this process the one that the job describes: ``arguments``, ``env``, ``cwd``; ``out`` and ``err``, paths."""
    files = [os.open(job[name], os.O_WRONLY | os.O_CREAT) for name in ("out", "err")]
    become(sys.executable, job["env"], job["cwd"], [os.open(os.devnull, os.O_RDONLY), *files])
    sys.argv = ["qakit", *job["arguments"]]


def become(python: str, environment: dict[str, str], folder: str, streams: list[int]) -> None:
    """Make this process another one's: its interpreter, environment, working folder and streams."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for number, name in ((1, "stdout"), (2, "stderr")):  # the server's may take them for files that can be sought in
        setattr(sys, name, open(number, "w", buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though `nohup` started the tests
    os.chdir(folder)
    before = _of_hub()
    os.environ.clear()
    os.environ.update(environment)
    if "huggingface_hub" in sys.modules and _of_hub() != before:
        put({})  # it has read the server's environment
    sys.executable = python


def _of_hub() -> dict[str, str]:
    """The variables that the hub's client and datasets read when they are imported."""
    kinds = ("HF_", "HUGGING", "TRANSFORMERS_", "HOME", "XDG_", "HTTP_", "http_", "ALL_", "all_")
    return {name: value for name, value in os.environ.items() if name.startswith(kinds)}


def run_qakit() -> int:
    """``qakit`` with ``sys.argv``; returns the exit code of a program that ends like this."""
    return _exit_code(main)


def _exit_code(program: Callable[[], Any]) -> int:
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
