"""What happens while a study runs, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qakit.study.record import State


@dataclass(frozen=True, slots=True)
class StudyStarted:
    """The study's trials are known."""

    trials: int
    finished: int
    failed: int
    jobs: int


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A training begins, or goes on."""

    run: str
    folder: Path
    resumed: bool


@dataclass(frozen=True, slots=True)
class TrialProgress:
    """How far a training is: optimiser steps of all, its last loss and its last figure; None where not yet known."""

    run: str
    step: int
    steps: int | None
    loss: float | None
    figure: float | None


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A training is over; ``waiting``: it was interrupted."""

    run: str
    state: State
    value: float | None
    selected_by: str
    """The name of the value."""
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Nothing is left to do here, but trials run in other processes or on other machines."""

    runs: tuple[str, ...]


Event = StudyStarted | TrialStarted | TrialProgress | TrialEnded | Elsewhere
Listener = Callable[[Event], None]
