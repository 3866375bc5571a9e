"""The launchers themselves: two of torchrun's agents, as on two machines, and `accelerate launch`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from comparisons import assert_equal
from crew import Crew, Ended

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_python")]

ACCELERATE = """\
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
num_processes: 2
num_machines: 1
machine_rank: 0
main_process_port: {port}
mixed_precision: 'no'
use_cpu: false
"""
"""Accelerate starts several processes only for what it takes for GPUs; the processes see that there are none."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def start(*command: object, python: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    words = [python or sys.executable, "-m", *map(str, command)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_machines_train_into_one_folder(recipe: Path, trained: tuple[Path, Ended], tmp_path: Path) -> None:
    meeting = ("--nnodes", 2, "--nproc-per-node", 1, "--rdzv-backend", "c10d", "--rdzv-id", "test")
    place = f"127.0.0.1:{free_port()}"
    run = tmp_path / "run"
    agents = [
        start(
            "torch.distributed.run", *meeting, "--rdzv-endpoint", place,
            "-m", "qakit", "train", recipe, "--output", run, "--quiet",
        )
        for _ in range(2)
    ]  # fmt: skip
    ends = [agent.communicate(timeout=300) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], ends
    assert sum("done: " in said for _, said in ends) == 1
    assert_equal(run, trained[0])


@pytest.mark.exhaustive
def test_a_launcher_that_is_told_to_stop_leaves_a_checkpoint(
    crew: Crew, recipe: Path, long_run: Path, long: tuple[str, ...], forked_python: str, tmp_path: Path
) -> None:
    """All of its processes are real ones, which end as Python does."""
    config, run = tmp_path / "accelerate.yaml", tmp_path / "run"
    config.write_text(ACCELERATE.format(port=free_port()), "utf-8")
    launcher = start(
        "accelerate.commands.accelerate_cli", "launch", "--config_file", config,
        "-m", "qakit", "train", recipe, "--output", run, "--quiet", *long,
        python=forked_python,
    )  # fmt: skip
    log, until = run / "metrics.jsonl", time.monotonic() + 120
    while not (log.is_file() and log.read_text("utf-8").count('"train"') >= 3):
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    launcher.send_signal(signal.SIGTERM)
    _, said = launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    assert said.count("error: stopped by SIGTERM after step") == 1
    stopped = json.loads(log.read_text("utf-8").splitlines()[-1])["step"]
    assert stopped < json.loads((long_run / "meta.json").read_text("utf-8"))["steps"]
    resumed = crew.run(2, "train", "--resume", "--output", run)
    assert resumed.codes == [0, 0], resumed.said
    assert_equal(run, long_run)
