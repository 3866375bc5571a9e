"""What several benchmarks measure with."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Name = TypeVar("Name", bound=Hashable)
ROOT = Path(__file__).resolve().parents[1]
CALL = """\
import re, sys
from pathlib import Path
from qakit.cli import build_app
try:
    build_app()(sys.argv[1:], standalone_mode=False)
finally:
    sys.stderr.write("peak " + re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def medians(works: Mapping[Name, Callable[[], Any]], rounds: int) -> dict[Name, float]:
    """Seconds of each, in alternating rounds after one that does not count: it warms up, and compiles."""
    seconds: dict[Name, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            seconds[name].append(timed(work)[1])
    return {name: statistics.median(each[1:]) for name, each in seconds.items()}


def qakit(*words: object, before: str = "") -> tuple[str, float]:
    """What the command says, in a process of its own that first runs ``before``, and its peak in MB."""
    command = [sys.executable, "-c", before + CALL, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    found = re.search(r"peak (\d+)$", done.stderr)
    if done.returncode != 0 or found is None:
        raise SystemExit(done.stderr)
    return done.stdout, int(found[1]) / 1024
