"""Accelerate's trackers as observers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from qakit.api import Evaluated, ModelError, Observer, ObserverRuntime, Started, StepDone
from qakit_trackers import TensorBoardSettings, TrackerSettings


class Tracker:
    """One of accelerate's trackers, begun at the first event."""

    def __init__(self, name: str, start: Callable[[Any], Any], runtime: ObserverRuntime) -> None:
        """``start`` makes the tracker from accelerate's class.

        Raises:
            ModelError: its package is not installed.
        """
        if find_spec(name) is None:
            raise ModelError(f"the observer {name} needs a package: pip install {name}")
        self._name, self._start, self._runtime = name, start, runtime
        self._tracker: Any = None

    def observe(self, event: Any) -> None:
        match event:
            case Started():
                self._begun().store_init_configuration(dict(_flat(self._runtime.recipe)))
            case StepDone():
                known = {"loss": event.loss, "learning_rate": event.learning_rate}
                known["windows_per_second"] = event.windows_per_second
                self._log("train", {**event.figures, **known}, event.step)
                self._begun().log({"epoch": event.epoch}, step=event.step)
            case Evaluated():
                self._log("validation", event.figures, event.step)

    def close(self, error: str | None) -> None:  # noqa: ARG002 - trackers have no place for it
        if self._tracker is not None:
            self._tracker.finish()

    def _log(self, part: str, values: Mapping[str, float | None], step: int) -> None:
        self._begun().log({f"{part}/{key}": value for key, value in values.items() if value is not None}, step=step)

    def _begun(self) -> Any:
        if self._tracker is None:
            from accelerate.tracking import LOGGER_TYPE_TO_CLASS

            self._tracker = self._start(LOGGER_TYPE_TO_CLASS[self._name])
            self._tracker.start()
        return self._tracker


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with texts, numbers, booleans; lists as text. Null is left out: trackers take no such value."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value if isinstance(value, bool | int | float | str) else str(value)


def tensorboard(settings: TensorBoardSettings, runtime: ObserverRuntime) -> Observer:  # noqa: ARG001
    folder = runtime.folder / "tensorboard"
    return Tracker("tensorboard", lambda kind: kind(run_name="", logging_dir=folder), runtime)


def wandb(settings: TrackerSettings, runtime: ObserverRuntime) -> Observer:
    own = {"name": runtime.name, "group": runtime.group, "dir": str(runtime.folder)} | settings.options
    return Tracker("wandb", lambda kind: kind(run_name=settings.project, **own), runtime)


def mlflow(settings: TrackerSettings, runtime: ObserverRuntime) -> Observer:
    own = {"run_name": runtime.name, "tags": {"group": runtime.group}} | settings.options
    return Tracker("mlflow", lambda kind: kind(experiment_name=settings.project, **own), runtime)


def trackio(settings: TrackerSettings, runtime: ObserverRuntime) -> Observer:
    own = {"name": runtime.name} | settings.options
    return Tracker("trackio", lambda kind: kind(run_name=settings.project, **own), runtime)


def swanlab(settings: TrackerSettings, runtime: ObserverRuntime) -> Observer:
    own = {"experiment_name": runtime.name} | settings.options
    return Tracker("swanlab", lambda kind: kind(run_name=settings.project, **own), runtime)
