"""The same recipe under `torchrun`: what two processes compute is what one computes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

pytestmark = pytest.mark.slow

WITHOUT_DROPOUT = (
    "--set", "backbone.overrides.hidden_dropout_prob=0.0",
    "--set", "backbone.overrides.attention_probs_dropout_prob=0.0",
    "--set", "train.epsilon=0.01",  # AdamW would blow up the rounding of gradients that are zero in exact arithmetic
    "--quiet",
)  # fmt: skip


def launch(processes: int, *arguments: object) -> None:
    """Run `qakit` in this many processes, on the CPU, over the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", processes,
        "--master-addr", "127.0.0.1", "--master-port", port, "-m", "qakit",
    ]  # fmt: skip
    done = subprocess.run(
        [str(word) for word in (*launcher, *arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_train_the_same_model_as_one(small_recipe: Path, tmp_path: Path) -> None:
    for processes in (1, 2):
        launch(processes, "train", small_recipe, "--output", tmp_path / str(processes), *WITHOUT_DROPOUT)
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("1", "2"))
    for name in one:
        assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("1", "2")]
    for alone, together in zip(*logs, strict=True):
        assert json.loads(alone) == pytest.approx(json.loads(together), abs=1e-5)
    answers = [(tmp_path / name / "predictions" / "submission.csv").read_bytes() for name in ("1", "2")]
    assert answers[0] == answers[1]
