"""The life of a ``qakit`` process in which something can be made to go wrong at a chosen moment.

What and when: ``mishaps.py``, ``phases.py``. ``crew_server.py`` forks it, having imported everything. Used by
``trainings.py``.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import mishaps
import phases
from fork_server import enter, run_qakit
from phases import Watcher


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
