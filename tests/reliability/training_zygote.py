"""Forks a ``qakit`` process for each job; something can be made to go wrong in it at a chosen moment.

What and when: ``mishaps.py``, ``phases.py``. Used by ``trainings.py``.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import mishaps
import phases
from fork_server import enter, run_qakit, serve
from phases import Watcher

import qakit
from qakit.cli import build_app

PACKAGES = ("cli", "data", "inference", "metrics", "modeling", "pretraining", "recipe", "report", "training")


def import_all() -> None:
    """Whatever a job may import later: a change of the source meanwhile shall not mix two versions."""
    build_app()  # imports the plugins
    for package in PACKAGES:
        for module in pkgutil.walk_packages([f"{qakit.__path__[0]}/{package}"], f"qakit.{package}."):
            importlib.import_module(module.name)
    plugins = [name for name in sys.modules if name.startswith("qakit_") and "." not in name]
    for name in plugins:
        for module in pkgutil.walk_packages(sys.modules[name].__path__, f"{name}."):
            with suppress(ImportError):  # what a job needs and cannot have, it says itself
                importlib.import_module(module.name)
    importlib.import_module("peft")
    importlib.import_module("matplotlib.pyplot")


def warm_up() -> None:
    """What every job would do for the first time: a pass through a small encoder, a figure."""
    import torch
    from matplotlib.figure import Figure
    from transformers import BertConfig, BertModel

    torch.set_num_threads(1)
    config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        BertModel(config).save_pretrained(folder)
        BertModel.from_pretrained(folder)(torch.zeros(1, 4, dtype=torch.long))
        figure = Figure(layout="constrained")
        figure.subplots().plot([1, 2], label="one")
        figure.legend()
        figure.savefig(Path(folder) / "figure.png")


def work(job: dict[str, Any]) -> int:
    """In the child: the job's whole life; returns the exit code."""
    enter(job)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "patch" in job:
        mishaps.patch(job["patch"])
    if "closed" in job:
        mishaps.refuse_writing(Path(job["closed"]))
    watcher = None
    if "at" in job or "record" in job:
        at = tuple(job["at"]) if "at" in job else None
        watcher = Watcher(at, mishaps.action(job["happens"], folder=job["cwd"]) if at else lambda: None)
        watcher.start()
    code = run_qakit()
    sys.settrace(None)
    if watcher is not None and watcher.at == (phases.ENDED, 0):
        watcher.act()
    if watcher is not None and "record" in job:
        Path(job["record"]).write_text(json.dumps(watcher.lines), "utf-8")
    return code


if __name__ == "__main__":
    import_all()
    warm_up()
    serve(work)
