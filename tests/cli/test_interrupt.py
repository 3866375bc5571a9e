"""Ctrl-C, and the loss of the terminal, end a training after its step, and it goes on exactly from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LONG = ("--set", "train.epochs=12", "--set", "train.checkpoint_every=epoch", "--set", "train.evaluate_every=1000")


def start(*arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "qakit", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_steps(run: Path, process: subprocess.Popen[str]) -> None:
    """Until the first steps are logged."""
    for _ in range(600):
        log = run / "metrics.jsonl"
        if log.is_file() and log.read_text().count('"train"') >= 3:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no step was logged within 30 seconds")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_step_and_the_run_goes_on_exactly(
    small_recipe: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    whole = start("train", small_recipe, "--output", tmp_path / "whole", *LONG)
    broken = start("train", small_recipe, "--output", tmp_path / "broken", *LONG)
    wait_for_steps(tmp_path / "broken", broken)
    broken.send_signal(number)
    _, said = broken.communicate(timeout=60)
    assert broken.returncode == code
    assert f"stopped by {number.name} after step" in said
    assert f"qakit train --resume --output {tmp_path / 'broken'}" in said
    assert "Traceback" not in said
    resumed = start("train", "--resume", "--output", tmp_path / "broken")
    assert resumed.wait(timeout=120) == 0, resumed.communicate()
    assert whole.wait(timeout=120) == 0, whole.communicate()
    for name in ("metrics.jsonl", "model/model.safetensors", "predictions/submission.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name
