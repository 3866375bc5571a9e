"""The contract of observers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qakit.components import Component, Settings
from qakit.protocols import Observer, ObserverRuntime
from qakit.testing.components import build_checked, running
from qakit.training.events import CheckpointWritten, Evaluated, Notice, Started, StepDone, StoppedEarly


def check_observer(component: Component[Any, Any, Any], settings: Settings, folder: Path) -> Observer:
    """It hears a made-up training from start to end, as it is and as one that fails, and begins nothing when it is
    built: an observer that nothing happened to leaves no file.

    Args:
        folder: an empty folder, as if it were the run's.

    Returns:
        The observer that heard the whole training, for checks of your own.

    Raises:
        AssertionError: with the reason.
    """
    recipe = {"name": "made up", "train": {"epochs": 2, "learning_rate": 1e-3}, "head": {"name": "linear_span"}}
    runtime = ObserverRuntime("made-up", folder, "made-up", recipe)
    observer: Observer = build_checked("observers", component, settings, runtime)
    with running("close before anything happened"):
        observer.close("interrupted")
    assert not [*folder.iterdir()], "it writes files before anything has happened"
    observer = build_checked("observers", component, settings, runtime)
    for event in (
        Started(4, 0, 8, 16, 4, {"head": {"trainable": 2}}, "cpu", "fp32", "sdpa", ()),
        StepDone(2, 0.5, 8, loss=2.5, learning_rate=1e-3, windows_per_second=10.0, figures={"start": 1.0}),
        Evaluated(2, 0.5, {"exact_match": 25.0, "f1": 50.0}, best=True, selected_by="f1", seconds=0.5),
        CheckpointWritten(2, folder / "checkpoints" / "step-2"),
        StepDone(3, 0.75, 8, loss=None),
        Notice("made up"),
        StoppedEarly(3, "made up"),
        object(),
    ):
        with running(f"observe({type(event).__name__})"):
            observer.observe(event)
    with running("close"):
        observer.close(None)
    return observer
