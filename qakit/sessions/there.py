"""What the notebook does at Kaggle once qakit is installed there: train until all is done or the time is over.

``OUTPUT/NAME`` is the run, ``OUTPUT/qakit-session.json`` tells of it and of every file in it. It is written last, and
also when something fails: Kaggle keeps nothing of a notebook that ends with an error.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qakit.errors import DataError, QakitError, RunError
from qakit.files import file_sha256, temporary_folder, write_json, write_text
from qakit.graph.folders import is_begun
from qakit.graph.nodes import check_recipe
from qakit.names import below
from qakit.numbers import load_json
from qakit.runs import Run, checkpoints_in, runs_in
from qakit.submit.download import facts_of
from qakit.submit.unzip import unpack
from qakit.system import environment_of_children

REPORT = "qakit-session.json"
RESERVE = 0.05
"""Share of a session's time for what follows a request to stop: an evaluation that has begun, the report."""
EVERY = 2.0
"""Seconds between two steps that are told: Kaggle keeps every line."""
STOPPED = frozenset({128 + signal.SIGINT, 128 + signal.SIGTERM})
Say = Callable[[str], None]


def train(order: Mapping[str, Any], *, inputs: Path, output: Path, began: float, say: Say = print) -> None:
    """One session.

    Args:
        order: a notebook's; see :func:`qakit.sessions.notebook.notebook`. Without a session's id the output stays where
            it is, and a run that lies there is continued; without seconds there is no limit.
        inputs: where Kaggle puts datasets, competitions and other notebooks' outputs.
        output: what Kaggle keeps.
        began: when the session did, by ``time.monotonic``.
    """
    run = output / order["name"]
    report: dict[str, Any] = {"schema": 1, "session": order["session"], "run": order["name"], "state": "FAILED"}
    try:
        _lay_out(order, inputs)
        _begin(order, inputs, run)
        until = None if order["seconds"] is None else began + (1 - RESERVE) * order["seconds"]
        report |= _trained(run, until, internet=order["internet"], there=Path(order["there"]), say=say)
        report["progress"] = progress_of(run)
    except (QakitError, OSError) as problem:
        report["error"] = str(problem)
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    facts = {file.relative_to(run).as_posix(): facts_of(file) for file in files}
    write_json(output / REPORT, report | {"seconds": time.monotonic() - began, "files": facts})
    answers = run / "predictions" / "submission.csv"
    if report["state"] == "FINISHED" and answers.is_file():  # where competitions that take notebooks only look for it
        shutil.copyfile(answers, output / answers.name)
    say(f"qakit: {report['state'].lower()}{': ' + report['error'] if report.get('error') else ''}")


def _lay_out(order: Mapping[str, Any], inputs: Path) -> None:
    """The files that the recipes name, where they name them."""
    there = Path(order["there"])
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir(parents=True)
    if order["data"] is not None:
        archive = _found(inputs, order["data"])
        if not order["data"].startswith(f"qakit-data-{file_sha256(archive)[:16]}"):
            raise DataError("is not what was packed", path=archive)
        (there / "data").mkdir()
        unpack(archive, there / "data")
    for slug, place in order["competitions"].items():
        Path(place).parent.mkdir(exist_ok=True)
        Path(place).symlink_to(_found(inputs, slug))


def _found(inputs: Path, name: str) -> Path:
    if (path := next((each for each in sorted(inputs.rglob(name)) if each.name == name), None)) is None:
        raise DataError("is not among the notebook's inputs", path=name)
    return path


def _begin(order: Mapping[str, Any], inputs: Path, run: Path) -> None:
    """The run as the session before has left it; of the first one, as it was laid out."""
    if order["session"] is None and is_begun(Run(run)):
        _check_same(run, order["texts"])
        return
    shutil.rmtree(run, ignore_errors=True)
    if order["follows"] is None:
        for name, text in order["texts"].items():
            write_text(below(run, name), text)
        return
    for file in sorted(inputs.rglob(REPORT)):
        before = load_json(file.read_text("utf-8"))
        if before["session"] == order["follows"]:
            for name, facts in before["files"].items():
                target = below(run, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(below(file.parent / before["run"], name), target)
                if facts_of(target) != facts:
                    raise DataError("is not what the session before has written", path=target)
            return
    raise DataError("is not among the notebook's inputs", path=f"the output of session {order['follows']}")


def _check_same(run: Path, texts: Mapping[str, str]) -> None:
    """A run is continued by the notebook of its own training.

    Raises:
        RunError: it was begun as another one.
    """
    way = f"put this notebook's folder into Drive under another name, or remove {run}"
    with temporary_folder(run) as laid_out:
        for name, text in texts.items():
            there, here = below(run, name), below(laid_out, name)
            if there.name == "recipe.yaml" and there.is_file():
                write_text(here, text)
                check_recipe(Run(there.parent), Run(here.parent).recipe(), instead=way)
            elif not there.is_file() or there.read_bytes() != text.encode():
                raise RunError(f"{run} was begun with another {name} than this notebook has: {way}")


def _trained(run: Path, until: float | None, *, internet: bool, there: Path, say: Say) -> dict[str, Any]:
    """Train until it ends by itself, or is asked to: then it finishes a step and writes a checkpoint."""
    environment = {**environment_of_children(), "QAKIT_CACHE": str(there / "cache")} | (
        {} if internet else {"HF_HUB_OFFLINE": "1"}
    )
    command = [sys.executable, "-m", "qakit", "train", "--resume", "--output", str(run), "--events"]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    timer = threading.Timer(max(0.0, (until or 0.0) - time.monotonic()), child.send_signal, [signal.SIGTERM])
    timer.daemon = True
    if until is not None:
        timer.start()
    assert child.stdout is not None
    last, told = "", 0.0
    try:
        for line in child.stdout:
            if line.startswith('{"event": "StepDone"'):
                if time.monotonic() - told < EVERY:
                    continue
                told = time.monotonic()
            if line.startswith("error: "):
                last = line.strip()
            say(line.rstrip("\n"))
        code = child.wait()
    finally:
        timer.cancel()
        child.kill()
    if code == 0:
        return {"state": "FINISHED"}
    if code in STOPPED:
        return {"state": "STOPPED"}
    return {"error": last.removeprefix("error: ") or f"the training ended with exit code {code}"}


def progress_of(run: Path) -> str:
    """How far the trainings in a folder are: two sessions with the same have brought nothing."""
    parts = []
    for each in runs_in(run):
        steps = [path.name for path in checkpoints_in(each.checkpoints)]
        parts.append("finished" if each.finished else steps[-1] if steps else "-")
    return " ".join(parts)
