"""A training in which steps break or memory runs out."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Invoke
from safetensors.torch import load_file

from qakit.data.batch import Batch
from qakit.errors import RunError
from qakit.modeling.model import ReadingModel
from qakit.protocols import HeadOutput
from qakit.recipe.load import load_recipe
from qakit.registry import load_registry
from qakit.runs import Run, alone_in, create_run
from qakit.training.checkpoints import Progress
from qakit.training.events import Event, Notice
from qakit.training.fit import fit
from qakit.training.interrupts import InterruptedTrainingError
from qakit.training.keeper import RunKeeper
from qakit.training.launch import accelerator_for
from qakit.training.prepare import prepare_training

pytestmark = pytest.mark.slow

Forward = Any


def run_training(recipe_file: Path, folder: Path, *changes: str) -> tuple[Run, list[str]]:
    """Train; the run and what the user was told."""
    registry = load_registry()
    recipe = load_recipe(recipe_file, list(changes), registry=registry).recipe
    run = create_run(recipe, folder)
    notices: list[str] = []

    def listener(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.message)

    accelerator = accelerator_for(recipe)
    prepared = prepare_training(recipe, registry, device=accelerator.device, listener=listener)
    fit(prepared, run, registry, accelerator=accelerator, resume=False, listener=listener)
    return run, notices


def with_training_forward(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """``change(calls so far, batch, forward)`` instead of the model's forward pass in training."""
    forward, calls = ReadingModel.forward, iter(range(10_000))

    def changed(self: ReadingModel, batch: Batch) -> HeadOutput:
        if not self.training:
            return forward(self, batch)
        output: HeadOutput = change(next(calls), batch, lambda: forward(self, batch))
        return output

    monkeypatch.setattr(ReadingModel, "forward", changed)


def test_a_broken_step_is_left_out_and_counted(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_third(call: int, batch: Batch, forward: Forward) -> HeadOutput:
        output = forward()
        return HeadOutput(output.loss * float("nan") if call == 2 else output.loss, output.scores)

    with_training_forward(monkeypatch, break_third)
    run, notices = run_training(small_recipe, tmp_path / "run")
    lines = [line for line in run.metrics() if line["type"] == "train"]
    assert {line["step"]: line["skipped"] for line in lines} == {1: 0, 2: 0, 4: 1, 6: 0}
    assert all(0 < line["loss"] < 20 for line in lines)
    assert "1 steps were left out: their loss or gradients were not finite numbers" in notices


def test_when_memory_runs_out_the_step_is_cut_and_the_batch_stays(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = run_training(small_recipe, tmp_path / "cut", "train.accumulation=4")

    def only_two_fit(_call: int, batch: Batch, forward: Forward) -> HeadOutput:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return forward()

    with_training_forward(monkeypatch, only_two_fit)
    run, notices = run_training(small_recipe, tmp_path / "oom")
    assert [note for note in notices if "out of memory" in note] == [
        f"out of memory at step 1: from now on each step is computed in {parts} parts (train.accumulation={parts}), "
        "with the same batch"
        for parts in (2, 4)
    ]
    ours, theirs = (load_file(each.model / "model.safetensors") for each in (run, plain))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert run.metrics_log.read_bytes() == plain.metrics_log.read_bytes()


def test_auto_begins_with_the_parts_that_fit_and_notes_them(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    """As with that number in the recipe, bit for bit; nothing runs out of memory on the way."""
    ends = []

    def only_two_fit(_call: int, batch: Batch, forward: Forward) -> HeadOutput:
        if len(batch) > 2:
            ends.append(len(batch))
            raise torch.OutOfMemoryError("out of memory")
        return forward()

    with_training_forward(monkeypatch, only_two_fit)
    for value in ("4", "auto"):
        options = ("--output", tmp_path / value, "--set", f"train.accumulation={value}")
        result = invoke("train", small_recipe, *options)
        assert result.exit_code == 0, result.output
    assert ends == [8, 4]  # tried once
    assert "each step is computed in 4 parts (train.accumulation: auto)" in result.output
    found, told = Run(tmp_path / "auto"), Run(tmp_path / "4")
    assert found.read_json(found.meta_file)["accumulation"] == told.read_json(told.meta_file)["accumulation"] == 4
    assert found.metrics_log.read_bytes() == told.metrics_log.read_bytes()
    assert (found.model / "model.safetensors").read_bytes() == (told.model / "model.safetensors").read_bytes()


def test_when_not_even_one_window_fits_it_ends(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_fits(_call: int, _batch: Batch, _forward: Forward) -> HeadOutput:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes")

    with_training_forward(monkeypatch, nothing_fits)
    with pytest.raises(RunError, match=r"out of memory with a single window: choose a smaller windows\.max_length"):
        run_training(small_recipe, tmp_path / "run")


def test_other_errors_are_not_taken_for_full_memory(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_call: int, _batch: Batch, _forward: Forward) -> HeadOutput:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with_training_forward(monkeypatch, other)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run_training(small_recipe, tmp_path / "run")


def test_a_training_that_learns_nothing_is_told_early(small_recipe: Path, tmp_path: Path) -> None:
    changes = ("train.learning_rate=1e-12", "train.epochs=2", "train.log_every=1")
    _, notices = run_training(small_recipe, tmp_path / "run", *changes)
    assert len([note for note in notices if "the loss has not fallen so far" in note]) == 1


def test_a_second_process_is_kept_out_of_a_run(small_run: Path, invoke: Any) -> None:
    with alone_in(Run(small_run)):
        result = invoke("train", "--resume", "--output", small_run)
    assert result.exit_code == 75
    assert f"another process is training in {small_run}" in str(result.exception)
    assert invoke("train", "--resume", "--output", small_run, "--quiet").exit_code == 0


@pytest.mark.parametrize("moment", ["evaluate", "checkpoint"])
def test_a_stop_that_is_asked_for_at_the_very_end_is_heard(
    moment: str, small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only between steps: the last evaluation and the last checkpoint come before the final prediction."""
    whole = getattr(RunKeeper, moment)

    def stopped(self: RunKeeper, progress: Progress, **options: Any) -> Any:
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, progress, **options)

    monkeypatch.setattr(RunKeeper, moment, stopped)
    with pytest.raises(InterruptedTrainingError) as caught:
        run_training(small_recipe, tmp_path / "run", "train.max_steps=3", "train.evaluate_before=false")
    assert caught.value.exit_code == 143
    assert str(caught.value) == "stopped by SIGTERM after step 3"
    assert (tmp_path / "run" / "checkpoints" / "step-00000003" / "state.json").is_file()
