"""Trainings on a Ray cluster: machines go, drivers are killed, and the graph is finished all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from command_line import Invoke
from graph import cluster_driver
from graph.cluster_driver import fake, made, meeting
from ray_nodes import RayNodes, parent_of
from sample_questions import write_first_questions

from qakit.errors import RunError, UsageError
from qakit.graph.cluster import on_cluster, work
from qakit.graph.execute import Execution
from qakit.graph.nodes import Graph
from qakit.graph.processes import Command
from qakit.ray_cluster import connect
from qakit.training.events import Event, NodeEnded, NodeProgress, silence

DRIVER = Path(cluster_driver.__file__)
PATIENCE = 120.0


def carry_out(graph: Graph, folder: Path, command: Command, listener: Callable[[Event], None] = silence) -> None:
    """In this process."""
    Execution(graph, folder, on_cluster(None, command=command), listener).run()


def started(folder: Path) -> dict[str, list[int]]:
    """The processes of each training."""
    return {
        file.parent.name: [int(line.split()[0]) for line in file.read_text().splitlines()]
        for file in sorted(folder.glob("*/started"))
    }


def both_at_work(folder: Path) -> None:
    """Wait until two trainings have begun and listen to signals."""
    wait_for(lambda: len(started(folder)) == 2)
    time.sleep(0.5)


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def drive(ray_nodes: RayNodes, tmp_path: Path) -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    """``drive(seconds)``: a process that carries out a graph of two trainings in ``tmp_path``."""
    running: list[subprocess.Popen[str]] = []

    def start(seconds: float) -> subprocess.Popen[str]:
        arguments = [sys.executable, str(DRIVER), str(tmp_path), str(seconds)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.mark.exhaustive
def test_trainings_run_at_once_on_all_nodes(ray_nodes: RayNodes, tmp_path: Path) -> None:
    told: list[Event] = []
    carry_out(made(tmp_path, "a", "b", "c"), tmp_path, meeting(2, seconds=1), told.append)
    assert [len(processes) for processes in started(tmp_path).values()] == [1, 1, 1]
    first = min((tmp_path / name / "metrics.json").stat().st_mtime for name in "ab")
    assert first <= (tmp_path / "c" / "here").stat().st_mtime, "two at a time"
    assert {event.label for event in told if isinstance(event, NodeEnded) and event.error is None} == {"a", "b", "c"}
    assert any(isinstance(event, NodeProgress) for event in told)


@pytest.mark.exhaustive
def test_a_training_whose_node_is_lost_begins_anew_on_another(
    ray_nodes: RayNodes, drive: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    driver = drive(8)
    both_at_work(tmp_path)
    workers = {name: parent_of(processes[0]) for name, processes in started(tmp_path).items()}
    (lost,) = (name for name, worker in workers.items() if parent_of(worker) == ray_nodes.second_raylet)
    for process in (ray_nodes.second_raylet, workers[lost]):
        os.kill(process, signal.SIGKILL)
    try:
        said, errors = driver.communicate(timeout=PATIENCE)
    finally:
        ray_nodes.replace_second()
    assert (driver.returncode, said, errors) == (0, "", "")
    assert {name: len(processes) for name, processes in started(tmp_path).items()} == {
        name: 2 if name == lost else 1 for name in "ab"
    }
    # It may hear the signal twice: the node, whose process takes it over from the worker, dies as well.
    assert set((tmp_path / lost / "checkpoint").read_text().split()) == {"15"}, "the training ends with its worker"
    assert all((tmp_path / name / "metrics.json").is_file() for name in "ab")


@pytest.mark.exhaustive
def test_a_killed_driver_takes_its_trainings_along_and_the_same_command_goes_on(
    drive: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    killed = drive(300)
    both_at_work(tmp_path)
    killed.kill()
    again = drive(0)
    said, errors = again.communicate(timeout=PATIENCE)
    assert (again.returncode, said, errors) == (0, "", "")
    assert [len(processes) for processes in started(tmp_path).values()] == [2, 2]
    assert all((tmp_path / name / "metrics.json").is_file() for name in "ab")


@pytest.mark.exhaustive
def test_on_sigterm_trainings_write_checkpoints_and_the_command_exits_143(
    drive: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = drive(300)
    both_at_work(tmp_path)
    process.terminate()
    said, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (143, ""), errors
    assert [(tmp_path / name / "checkpoint").read_text() for name in "ab"] == ["15\n", "15\n"], errors
    assert errors.splitlines() == [
        f"error: stopped by SIGTERM; a checkpoint is written, resume with: qakit train --resume --output {tmp_path}"
    ]


@pytest.mark.exhaustive
def test_a_failing_training_gives_its_error_line(ray_nodes: RayNodes, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^thirteen & more is not allowed\n\(exit code 2\)$"):
        carry_out(made(tmp_path, "a", batch_size=13), tmp_path, fake(0))
    assert "thirteen" in json.loads((tmp_path / "a" / "failure.json").read_text())["error"]


@pytest.mark.parametrize(("threads", "told"), [(3, "3"), (None, "None")])
def test_a_machine_runs_the_command_with_its_own_interpreter_and_the_threads_of_its_room(
    threads: int | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Ray sets it for a task on a GPU
    code = "import os, sys; print(os.environ.get('OMP_NUM_THREADS'), os.getcwd()); sys.exit(7)"
    log = tmp_path / "train.log"
    assert work(["/another/machine/python", "-c", code], str(log), str(tmp_path), threads) == 7
    first, *rest = log.read_text().splitlines()
    assert first.startswith(f"$ {sys.executable} -c ")
    assert rest == [f"{told} {tmp_path}"]


def test_a_machine_without_the_folder_says_so(tmp_path: Path) -> None:
    said = work(["python"], str(tmp_path / "elsewhere" / "train.log"), str(tmp_path), 1)
    assert isinstance(said, str)
    assert f"does not see {tmp_path / 'elsewhere'}: the machines of the cluster need it" in said


def test_without_ray_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"^--engine ray needs Ray: pip install 'qakit\[ray\]'$"):
        connect()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:1/x", "127.0.0.1:no", "[::1]:1"])
def test_an_address_of_nobody_is_one_line_within_seconds(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    began = time.monotonic()
    with pytest.raises(RunError) as caught:
        connect()
    assert time.monotonic() - began < 8
    assert str(caught.value).startswith(f"RAY_ADDRESS={address}: no Ray cluster answers there (")
    assert "\n" not in str(caught.value)


def own_cluster(code: str) -> subprocess.CompletedProcess[str]:
    """Python code in a process that has no cluster to connect to."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE
    )


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.skipif(not __import__("importlib.util").util.find_spec("ray"), reason="Ray is not installed")
def test_a_cluster_of_its_own_says_nothing_and_has_no_dashboard() -> None:
    code = """
from qakit.ray_cluster import connect
import ray
assert connect().cluster_resources()["CPU"] >= 1
print(ray._private.worker._global_node.webui_url or "no dashboard")
"""
    done = own_cluster(code)
    assert (done.stdout, done.stderr) == ("no dashboard\n", "")


@pytest.fixture
def ensemble(samples: Path, tiny_backbone: Path, tmp_path: Path) -> Path:
    """An ensemble of two seeds that trains in seconds."""
    write_first_questions(samples, tmp_path, train=24, dev=12)
    (tmp_path / "small.yaml").write_text(
        f"""\
data: {{reader: squad, train: train.json, validation: dev.json, test: dev.json}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 128, max_question_length: 32}}
preprocess: {{train: random_window, predict: {{name: stride, overlap: 32}}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-3, precision: fp32}}
predict: {{character_scores: true}}
""",
        "utf-8",
    )
    file = tmp_path / "ensemble.yaml"
    file.write_text("ensemble: {method: char_average, train: {recipe: small.yaml, seeds: [1, 2]}}\n", "utf-8")
    return file


@pytest.mark.exhaustive
@pytest.mark.slow
def test_an_ensemble_trained_on_a_cluster_has_the_same_bytes(
    ray_nodes: RayNodes, ensemble: Path, tmp_path: Path, invoke: Invoke
) -> None:
    local, far = tmp_path / "local", tmp_path / "far"
    for folder, options in ((local, ()), (far, ("--engine", "ray"))):
        result = invoke("train", ensemble, "--output", folder, "--quiet", *options)
        assert result.exit_code == 0, result.output

    def files(folder: Path) -> dict[str, bytes]:
        return {
            str(file.relative_to(folder)): file.read_bytes().replace(str(folder).encode(), b"")
            for file in folder.rglob("*")
            if file.name in SAME or file.suffix in (".safetensors", ".csv", ".yaml")
        }

    assert {"submission.csv", "model.safetensors"} <= {Path(name).name for name in files(local)}
    assert files(far) == files(local)


SAME: Sequence[str] = ("metrics.jsonl", "nbest.jsonl", "decision.json", "ensemble.json")
