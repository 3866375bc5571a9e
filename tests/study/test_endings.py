"""How a training's end is noted: what it left behind counts, whatever the exit code says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qakit.study.claim import claim
from qakit.study.events import TrialEnded
from qakit.study.ledger import open_ledger
from qakit.study.runner import Runner, _Running

from qakit.errors import RunError
from qakit.registry import Registry
from qakit.runs import Run
from qakit.study.load import load_study
from qakit.study.plan import plan

Write = Callable[..., Path]
Drive = Any
LATE = """
import json, pathlib, sys
run = pathlib.Path(sys.argv[1])
(run / "meta.json").write_text("{}")
(run / "metrics.json").write_text(json.dumps({"validation": {"f1": 70.0}, "seconds": 5}))
sys.exit(143)
"""


def test_a_training_that_a_signal_reached_when_all_was_done_is_finished(write: Write, drive: Drive) -> None:
    (record,) = drive(write("recipe: base.yaml\n"), command=lambda run: [sys.executable, "-c", LATE, str(run)])
    assert (record.state, record.value, record.error) == ("finished", 70, "")


DAMAGE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    database.execute("drop table trial_values")
    database.execute("drop table trials")
"""


def test_a_storage_that_breaks_while_a_study_runs_is_told(write: Write, drive: Drive) -> None:
    damage = [sys.executable, "-c", DAMAGE, str(drive.folder.database)]
    with pytest.raises(RunError, match="the study's storage does not work: "):
        drive(write("recipe: base.yaml\n"), command=lambda _: damage)


@pytest.mark.parametrize(("pruned", "state"), [(True, "pruned"), (False, "waiting")])
def test_what_was_spent_before_an_interruption_counts(
    write: Write, drive: Drive, registry: Registry, pruned: bool, state: str
) -> None:
    loaded = load_study(write("recipe: base.yaml\n"))
    (trial,) = plan(loaded, registry)
    ledger = open_ledger(loaded.name, None, drive.folder, create=True)
    about = {name: getattr(trial, name) for name in ("key", "label", "task", "row", "seed")}
    ledger.enqueue({**about, "values": {}, "seconds_before": 1000.0})
    (record,) = ledger.records()
    run = Run(drive.folder.runs / record.run)
    own = claim(run.folder)
    assert own is not None
    assert ledger.claim(record, host="here", path=run.folder)
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(143)"])
    process.wait()
    running = _Running(trial, record, run, "f1", process, own, 0, began=time.monotonic(), beat=1, pruned=pruned)
    runner = Runner(loaded, {trial.key: trial}, drive.folder, ledger, registry, drive.events.append)
    runner._running[record.number] = running
    runner._ended(running, interrupted=True)
    (after,) = ledger.records()
    assert after.state == state
    spent = after.result["seconds"] if pruned else after.seconds_before
    assert 1000 <= spent < 1100
    (ended,) = drive.events
    assert replace(ended, seconds=0.0) == TrialEnded(record.run, state, None, "f1", 0.0)
