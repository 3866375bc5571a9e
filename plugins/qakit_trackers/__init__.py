"""First-party observers: a training in TensorBoard, Weights & Biases, MLflow, Trackio or SwanLab."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from qakit.api import Component, Observer, ObserverRuntime, Settings, hookimpl


class TrackerSettings(Settings):
    """Where a tracker keeps a training."""

    project: str = Field("qakit", min_length=1, description="The project, or experiment, that the runs belong to.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="What else its start takes (`wandb.init` and its like), such as `{mode: offline, tags: [dev]}`.",
    )


class TensorBoardSettings(Settings):
    """TensorBoard's files are in `tensorboard/` in the run's folder: `tensorboard --logdir runs` shows all runs."""


def _component(name: str, summary: str, settings: type[Settings]) -> Component[Any, ObserverRuntime, Observer]:
    return Component(name=name, summary=summary, settings=settings, build=f"qakit_trackers.tracker:{name}")


@hookimpl
def qakit_register_observers() -> Iterable[Component[Any, ObserverRuntime, Observer]]:
    return (
        _component("tensorboard", "TensorBoard, in the run's folder (extra `tensorboard`)", TensorBoardSettings),
        _component("wandb", "Weights & Biases (`pip install wandb`)", TrackerSettings),
        _component("mlflow", "MLflow (`pip install mlflow`)", TrackerSettings),
        _component("trackio", "Trackio (`pip install trackio`)", TrackerSettings),
        _component("swanlab", "SwanLab (`pip install swanlab`)", TrackerSettings),
    )
