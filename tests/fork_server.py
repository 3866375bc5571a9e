"""A process that has imported everything slow and forks one ``qakit`` process for each job: the part of the server.

It reads jobs from stdin and writes replies to stdout, one JSON object a line; ``fork_client.py`` is the other end. A
program in a tests' folder imports what its jobs need and calls :func:`serve` with what a job does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import quick
import typer.main

import qakit
from qakit.cli import build_app, main


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
    jobs: dict[int, int] = {}
    watch = selectors.DefaultSelector()
    watch.register(sys.stdin.fileno(), selectors.EVENT_READ)
    watch.register(read_end, selectors.EVENT_READ)
    buffer = b""
    answers = os.fdopen(os.dup(1), "w")

    def reply(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    quick.be_quick()
    typer.main.get_command(build_app())
    gc.freeze()  # children neither look through what was imported here nor copy its pages for doing so
    reply(ready=True)
    while True:
        for key, _ in watch.select():
            data = os.read(key.fd, 65536)
            if key.fd == read_end:
                continue
            if not data:
                return
            buffer += data
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            job = json.loads(line)
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answers.close()
                code = work(job)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            jobs[child] = job["number"]
            reply(number=job["number"], pid=child)
        while jobs:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            reply(number=jobs.pop(child), code=os.waitstatus_to_exitcode(status))


def import_all() -> None:
    """Whatever a job may import later: a change of the source meanwhile shall not mix two versions."""
    build_app()  # imports the plugins
    for module in pkgutil.walk_packages(qakit.__path__, "qakit."):
        importlib.import_module(module.name)
    plugins = [name for name in sys.modules if name.startswith("qakit_") and "." not in name]
    for name in plugins:
        for module in pkgutil.walk_packages(sys.modules[name].__path__, f"{name}."):
            with suppress(ImportError):  # what a job needs and cannot have, it says itself
                importlib.import_module(module.name)
    importlib.import_module("peft")
    importlib.import_module("matplotlib.pyplot")


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
    for number, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT), number)
    for number, name in ((1, "stdout"), (2, "stderr")):  # the server's may take them for files that can be sought in
        setattr(sys, name, open(number, "w", buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though `nohup` started the tests
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv = ["qakit", *job["arguments"]]


def run_qakit() -> int:
    """``qakit`` with ``sys.argv``; returns the exit code of a program that ends like this."""
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
