"""Observers: what they see of a training, that they change nothing of it, and that one which fails stops nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qakit.modeling.model import ReadingModel
from qakit.training import observers
from qakit.training.events import CheckpointWritten, Evaluated, Notice, Started, StepDone
from qakit.training.observers import Watch, watched


class Seen:
    """An observer that keeps what it sees."""

    def __init__(self, fails_at: type | None = None, error: BaseException | None = None) -> None:
        self.events: list[Any] = []
        self.ended: list[str | None] = []
        self._fails_at = fails_at
        self._error = error or ZeroDivisionError("no network")

    def observe(self, event: Any) -> None:
        self.events.append(event)
        if self._fails_at is not None and isinstance(event, self._fails_at):
            raise self._error

    def close(self, error: str | None) -> None:
        self.ended.append(error)


EVENTS = (StepDone(1, 0.1, 8), StepDone(2, 0.2, 8, loss=2.0), Evaluated(2, 0.2, {"f1": 1.0}, True, "f1", 0.5))


def test_logged_steps_and_evaluations_are_seen() -> None:
    seen, heard = Seen(), []  # type: ignore[var-annotated]
    with watched([Watch(seen, "seen")], heard.append) as listener:
        for event in EVENTS:
            listener(event)
    assert heard == list(EVENTS)
    assert seen.events == list(EVENTS[1:])
    assert seen.ended == [None]


def test_one_that_fails_is_reported_once_and_hears_nothing_more() -> None:
    bad, good, heard = Seen(fails_at=StepDone), Seen(), []  # type: ignore[var-annotated]
    with watched([Watch(bad, "bad of x"), Watch(good, "good")], heard.append) as listener:
        for event in (*EVENTS, *EVENTS):
            listener(event)
    assert len(bad.events) == 1
    assert len(good.events) == 4
    assert (bad.ended, good.ended) == ([], [None])
    (notice,) = (event for event in heard if isinstance(event, Notice))
    assert notice.message == "the observer bad of x failed and is left out from here on: ZeroDivisionError: no network"


def test_one_that_would_end_the_program_ends_nothing() -> None:
    bad, heard = Seen(fails_at=StepDone, error=SystemExit(3)), []  # type: ignore[var-annotated]
    with watched([Watch(bad, "bad")], heard.append) as listener:
        for event in EVENTS:
            listener(event)
    assert "the observer bad failed and is left out from here on: SystemExit: 3" in [
        event.message for event in heard if isinstance(event, Notice)
    ]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_training_that_fails_is_told_to_its_observers(error: BaseException) -> None:
    seen = Seen()
    with pytest.raises(type(error)), watched([Watch(seen, "seen")], lambda _: None):
        raise error
    assert seen.ended == ["ValueError: broken" if isinstance(error, ValueError) else "KeyboardInterrupt"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """An observer of every training in this process."""
    one = Seen()
    monkeypatch.setattr(observers, "observers_of", lambda *_: [Watch(one, "seen")])
    yield one


@pytest.mark.slow
def test_a_watched_training_has_the_same_bits(
    small_recipe: Path,
    small_run: Path,
    tmp_path: Path,
    seen: Seen,
    invoke: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward = ReadingModel.forward

    def with_figures(self: ReadingModel, batch: Any) -> Any:
        output = forward(self, batch)
        return output if output.loss is None else replace(output, figures={"double": 2 * output.loss})

    monkeypatch.setattr(ReadingModel, "forward", with_figures)
    result = invoke("train", small_recipe, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    kinds = [type(event) for event in seen.events]
    assert kinds.count(Started) == 1
    logged = [json.loads(line) for line in (small_run / "metrics.jsonl").read_text().splitlines()]
    assert kinds.count(StepDone) == sum(line["type"] == "train" for line in logged)
    assert kinds.count(Evaluated) == sum(line["type"] == "evaluation" for line in logged)
    assert CheckpointWritten in kinds
    steps = [event for event in seen.events if isinstance(event, StepDone)]
    assert [event.figures["double"] for event in steps] == pytest.approx([2 * event.loss for event in steps])
    assert seen.ended == [None]
    for name in ("metrics.jsonl", "model/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (small_run / name).read_bytes()


@pytest.mark.slow
def test_tensorboard_shows_the_curves(small_recipe: Path, tmp_path: Path, invoke: Callable[..., Any]) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    short = ("--set", "train.max_steps=2", "--set", "train.log_every=1", "--no-test")
    result = invoke("train", small_recipe, *short, "--set", "observers=[tensorboard]", "--output", tmp_path / "run")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    found = reader.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    losses = [(event.step, event.value) for event in found.Scalars("train/loss")]
    assert losses == [(line["step"], pytest.approx(line["loss"])) for line in lines if line["type"] == "train"]
    f1 = [event.value for event in found.Scalars("validation/f1")]
    assert f1 == pytest.approx([line["f1"] for line in lines if line["type"] == "evaluation"])


def test_a_tracker_without_its_package_is_named_before_anything_trains(
    small_recipe: Path, tmp_path: Path, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qakit_trackers.tracker.find_spec", lambda _: None)
    result = invoke("train", small_recipe, "--set", "observers=[wandb]", "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert "pip install wandb" in str(result.exception)
    assert not (tmp_path / "run").exists()
    wrong = invoke("train", small_recipe, "--set", "observers=[{name: wandb, projct: x}]", "--dry-run")
    assert "did you mean 'project'" in str(wrong.exception)
