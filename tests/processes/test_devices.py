"""One training on several devices without a launcher, and several trainings in one launch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import called_elsewhere
import pytest
from comparisons import assert_equal
from crew import Crew, Ended

import qakit
from qakit.devices import slots
from qakit.errors import DataError
from qakit.training.events import CheckpointWritten, Event, Remark, RunBegun, Started, StepDone
from qakit.training.interrupts import InterruptedTrainingError
from qakit.training.subprocesses import call_on

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_python")]
CHOSEN = "2 shares of the CPU: one process on each, 1 thread for each"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "qakit", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_says_what_is_chosen_and_ends_as_one_process_does(
    recipe: Path, long_run: Path, long: tuple[str, ...], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    broken = start("train", recipe, "--output", run, "--devices", "cpu:2", *long)
    log, until = run / "metrics.jsonl", time.monotonic() + 200
    while not (log.is_file() and log.read_text("utf-8").count('"train"') >= 3):
        assert broken.poll() is None, broken.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    broken.send_signal(signal.SIGTERM)
    _, said = broken.communicate(timeout=120)
    assert broken.returncode == 143
    assert said.splitlines()[0] == CHOSEN
    assert said.count("error: ") == 1
    assert "error: stopped by SIGTERM after step" in said
    assert f"a checkpoint is written, resume with: qakit train --resume --output {run}" in said
    heard: list[Event] = []
    result = qakit.train(output=run, resume=True, devices="cpu:2", on_event=heard.append)
    assert_equal(run, long_run)
    assert result.folder == run
    assert result.metrics == json.loads((run / "metrics.json").read_text("utf-8"))
    assert json.loads((run / "meta.json").read_text("utf-8"))["processes"] == 2
    assert heard[0] == Remark(CHOSEN)
    assert sum(isinstance(event, Started) for event in heard) == 1


def test_a_callback_stops_both(recipe: Path, tmp_path: Path) -> None:
    heard: list[Event] = []

    def stop(event: Event) -> None:
        heard.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            raise KeyboardInterrupt

    changes = {"train.epochs": 200, "train.evaluate_every": 10000, "train.checkpoint_every": 10000}
    with pytest.raises(InterruptedTrainingError, match="stopped by SIGINT after step") as caught:
        qakit.train(recipe, tmp_path / "run", set=changes, devices="cpu:2", on_event=stop)
    assert any("resume=True" in note for note in caught.value.__notes__)
    assert isinstance(heard[-1], CheckpointWritten)


@pytest.mark.exhaustive
def test_trainings_one_after_the_other_in_one_launch_are_what_each_is_alone_until_one_fails(
    crew: Crew, recipe: Path, trained: tuple[Path, Ended], tmp_path: Path
) -> None:
    (tmp_path / "train.json").write_text('{"data": [{"title": "", "paragraphs": [3]}]}', "utf-8")
    changes = {"first": [], "second": ["train.precision=bf16"], "third": [], "failing": []}
    heard: list[Event] = []
    arguments = {"recipe": str(recipe), "folder": str(tmp_path), "changes": changes}
    with pytest.raises(DataError, match=f"{tmp_path}/train.json"):
        call_on(slots("cpu:2"), called_elsewhere.train_each, arguments, listener=heard.append)
    done = list(changes)[:-1]
    assert [event for event in heard if isinstance(event, Remark)] == [
        Remark(f"after {name}: {precision}") for name, precision in zip(done, ("no", "bf16", "no"), strict=True)
    ]
    assert [event.folder.name for event in heard if isinstance(event, RunBegun)] == done
    assert_equal(tmp_path / "first", trained[0])
    assert_equal(tmp_path / "third", trained[0])
    ended = crew.run(2, "train", recipe, "--output", tmp_path / "alone", "--set", "train.precision=bf16")
    assert ended.codes == [0, 0], ended.said
    assert_equal(tmp_path / "second", tmp_path / "alone")
    assert not (tmp_path / "failing").exists()


def test_devices_and_a_launcher_are_not_both_for_choosing(crew: Crew, recipe: Path, tmp_path: Path) -> None:
    ended = crew.run(2, "train", recipe, "--output", tmp_path / "run", "--devices", "cpu:2")
    assert ended.codes == [2, 2]
    assert ended.told == ["error: --devices and a launcher of processes both choose the devices; use one of them"]


def test_tasks_of_slurm_train_together(crew: Crew, recipe: Path, trained: tuple[Path, Ended], tmp_path: Path) -> None:
    job = {
        "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_STEP_NODELIST": "localhost",
        "SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0",
    }  # fmt: skip
    tasks = {rank: {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)}
    command = ("train", recipe, "--output", tmp_path / "run", "--quiet")
    ended = crew.run(2, *command, environment=job, own_environment=tasks, launcher=False)
    assert ended.codes == [0, 0], ended.said
    assert_equal(tmp_path / "run", trained[0])
