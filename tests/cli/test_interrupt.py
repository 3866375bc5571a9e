"""Ctrl-C, and the loss of the terminal, end a training after its step, and it continues exactly from there."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from crew import Crew, Running

pytestmark = pytest.mark.slow

LONG = ("--set", "train.epochs=12", "--set", "train.checkpoint_every=epoch", "--set", "train.evaluate_every=1000")


def steps_of(run: Path) -> int:
    log = run / "metrics.jsonl"
    return log.read_text("utf-8").count('"train"') if log.is_file() else 0


def wait_for_steps(run: Path, running: Running, logged: int) -> None:
    """Until so many more are logged."""
    wanted, until = steps_of(run) + logged, time.monotonic() + 200
    while steps_of(run) < wanted:
        if time.monotonic() > until:
            running.signal(signal.SIGKILL)
            raise AssertionError(running.ended())
        time.sleep(0.01)


def test_a_signal_ends_the_step_and_the_run_goes_on_exactly(crew: Crew, small_recipe: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert crew.run(1, "train", small_recipe, "--output", whole, *LONG).codes == [0]
    command: tuple[object, ...] = ("train", small_recipe, "--output", broken, *LONG)
    for number, code in ((signal.SIGINT, 130), (signal.SIGHUP, 129)):
        running = crew.start(1, *command)
        wait_for_steps(broken, running, 3)
        running.signal(number)
        ended = running.ended()
        assert ended.codes == [code], ended.said
        assert f"stopped by {number.name} after step" in ended.err[0]
        assert f"qakit train --resume --output {broken}" in ended.err[0]
        assert "Traceback" not in ended.err[0]
        command = ("train", "--resume", "--output", broken)
    assert crew.run(1, *command).codes == [0]
    for name in ("metrics.jsonl", "model/model.safetensors", "predictions/submission.csv"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
