"""What happens during a training, as values: the loop says it, whoever listens shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args


@dataclass(frozen=True, slots=True)
class Preparing:
    """A long preparation step begins or moves on."""

    what: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """All is ready; the first step comes next."""

    steps: int
    first_step: int
    train_examples: int
    train_windows: int
    validation_examples: int
    parameters: Mapping[str, Mapping[str, int]]
    device: str
    precision: str
    attention: str
    unused_weights: tuple[str, ...]
    texts: str = "training examples"
    """What `train_examples` counts."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """An optimiser step was done. ``loss`` is None between logged steps.

    ``figures`` are the head's further ones (``HeadOutput.figures``): means over the steps since the last logged one, of
    the first process's windows. After a resumption they begin anew.
    """

    step: int
    epoch: float
    windows: int
    loss: float | None = None
    learning_rate: float | None = None
    windows_per_second: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predicting:
    """Windows scored so far in an evaluation or prediction."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Figures on the validation examples."""

    step: int
    epoch: float
    figures: Mapping[str, float]
    best: bool
    selected_by: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CheckpointWritten:
    """A checkpoint is complete on disk."""

    step: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Replanned:
    """The training's length has changed: what fits into the time that it may take."""

    step: int
    """Steps done so far."""
    steps: int
    """Of the whole training, now."""
    message: str


@dataclass(frozen=True, slots=True)
class StoppedEarly:
    """Training ends before its last step."""

    step: int
    reason: str


@dataclass(frozen=True, slots=True)
class Remark:
    """What came of something that the recipe asks for, or which part of several comes next."""

    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning: something that may not be as the user thinks."""

    message: str


@dataclass(frozen=True, slots=True)
class RunBegun:
    """A run's folder is made, or one is resumed. That of a whole comes before those of its parts: folds, stages,
    members."""

    folder: Path


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """Of several trainings and what is made of them, one begins or continues."""

    label: str
    """Its folder below that of the whole; empty for the whole itself."""
    folder: Path
    number: int
    """From 1."""
    total: int
    what: str


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """How far a training in another process is: optimiser steps of all, its last loss; None where not yet known."""

    label: str
    step: int
    steps: int | None
    loss: float | None
    evaluations: tuple[Mapping[str, float], ...]
    """Figures of the evaluations so far."""


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """One of several is done, or has failed."""

    label: str
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class NodesWaiting:
    """Nothing is left to do here, but other processes or machines are at work on these."""

    labels: tuple[str, ...]


Event = (
    RunBegun
    | NodeStarted
    | NodeProgress
    | NodeEnded
    | NodesWaiting
    | Preparing
    | Started
    | StepDone
    | Predicting
    | Evaluated
    | CheckpointWritten
    | Replanned
    | StoppedEarly
    | Remark
    | Notice
)
Listener = Callable[[Event], None]


def silence(event: Event) -> None:
    """A listener for nobody."""


def log(event: Event) -> None:
    """The listener of callers that name none: warnings go to the logger ``qakit``, which shows them on stderr unless
    the program says otherwise."""
    if isinstance(event, Notice):
        logging.getLogger("qakit").warning(event.message)


def as_json(event: Event) -> dict[str, Any]:
    """The event as plain values; :func:`from_json` makes an equal one of them, also after a way through JSON."""
    return {"event": type(event).__name__} | {each.name: _plain(getattr(event, each.name)) for each in fields(event)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def from_json(value: Mapping[str, Any]) -> Event:
    """What :func:`as_json` has made plain.

    Raises:
        ValueError: it is no event.
    """
    kinds = {kind.__name__: kind for kind in get_args(Event)}
    if value.get("event") not in kinds:
        raise ValueError(f"{value!r:.80} is no event")
    given: dict[str, Any] = {name: tuple(part) if isinstance(part, list) else part for name, part in value.items()}
    kind = kinds[given.pop("event")]
    if "folder" in given:
        given["folder"] = Path(given["folder"])
    event: Event = kind(**given)
    return event
