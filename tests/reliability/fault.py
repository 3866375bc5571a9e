"""A line of the table in docs/dev/reliability.md: what goes wrong, at which moments it is tried, and how to try it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from trainings import Ended
from workbench import Trial, Whole, Workbench, differences

IDENTICAL = "continues, bit-identical in the end"
EVERY_ADAPTER = ("full", "lora", "bitfit")


@dataclass(frozen=True)
class Fault:
    """One line."""

    group: str
    name: str
    moments: tuple[str, ...]
    """Each begins with an adapter's name."""
    play: Callable[[Workbench, str], str]
    """Try one moment; returns what came of it. An ``AssertionError`` is what must not come of it."""

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


def moments(count: int, *adapters: str) -> tuple[str, ...]:
    """``count`` moments with each adapter, all of them by default."""
    return tuple(f"{adapter} {number}" for adapter in adapters or EVERY_ADAPTER for number in range(count))


def drawn(fault: str, moment: str) -> random.Random:
    """What is random about a moment: always the same."""
    return random.Random(f"{fault}, {moment}")


def line_in(whole: Whole, phase: str, draw: random.Random, *, until: float = 1.0) -> tuple[str, int]:
    """A moment within a phase, or within its first part."""
    return phase, draw.randint(1, max(1, int(until * whole.lines[phase])))


def resumed(trial: Trial, whole: Whole) -> str:
    """Continue, and compare with the uninterrupted run."""
    done = trial.go_on()
    assert done.code == 0, f"{done.code}: {done.err}"
    assert "Traceback" not in done.err, done.err
    assert not differences(trial.run, whole.run), differences(trial.run, whole.run)
    return IDENTICAL


def told(ended: Ended) -> str:
    """``exit CODE: MESSAGE`` of a command that failed with one line, without what changes from one to the next."""
    assert "Traceback" not in ended.err, ended.err
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ended.err
    return f"exit {ended.code}: {plain(errors[0].removeprefix('error: '))}"


def plain(text: str) -> str:
    """A message without numbers of steps and names of files."""
    text = re.sub(r"\bstep-\d+", "step-N", re.sub(r"\bstep \d+", "step N", text))
    return re.sub(r"(?<=cannot write )\S+(?=:)", "FILE", text).replace("|", "/")
