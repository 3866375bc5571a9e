"""Training in several processes: what they compute, how they stop, and how they end when one of them fails."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from comparisons import assert_equal, train_both_ways
from crew import Crew, Ended, Running

pytestmark = pytest.mark.slow


def wait_for_steps(run: Path, running: Running) -> None:
    """Until some steps are logged."""
    until = time.monotonic() + 200
    while time.monotonic() < until:
        log = run / "metrics.jsonl"
        if log.is_file() and log.read_text("utf-8").count('"train"') >= 3:
            return
        time.sleep(0.01)
    running.signal(signal.SIGKILL)
    raise AssertionError(running.ended())


@pytest.mark.sweep(3)
@pytest.mark.parametrize("adapter", ["full", "{name: lora, rank: 2}", "bitfit"])
def test_two_processes_train_as_one_with_two_parts(crew: Crew, recipe: Path, tmp_path: Path, adapter: str) -> None:
    train_both_ways(crew, recipe, tmp_path, "--set", f"adapter={adapter}")


def test_processes_agree_on_the_parts_that_fit_in_all_of_them(crew: Crew, recipe: Path, tmp_path: Path) -> None:
    """The second one's memory is the smaller one; with that number in the recipe both do the same, bit for bit."""
    options = ("--set", "train.epochs=1", "--set")
    for value in ("4", "auto"):
        run = tmp_path / value
        ended = crew.run(
            2,
            *("train", recipe, "--output", run, *options, f"train.accumulation={value}"),
            own_environment={1: {"FIT_ONLY": "1"}},
        )
        assert ended.codes == [0, 0], ended.said
        assert json.loads((run / "meta.json").read_text("utf-8"))["accumulation"] == 4
    assert_equal(tmp_path / "4", tmp_path / "auto")


@pytest.mark.sweep(2)
@pytest.mark.parametrize("where", ["IN_FORWARD", "IN_BACKWARD"])
def test_where_memory_runs_out_in_one_process_all_go_on_in_halves(
    crew: Crew, recipe: Path, tmp_path: Path, where: str
) -> None:
    """As with that number of parts from the beginning, bit for bit."""
    for name, parts, own in (("told", 2, {}), ("found", 1, {"FIT_ONLY": "2", where: "yes"})):
        ended = crew.run(
            2,
            *("train", recipe, "--output", tmp_path / name, "--set", "train.epochs=1"),
            *("--set", f"train.accumulation={parts}"),
            environment={"BUCKET": "1"},  # each parameter travels for itself: some are on their way when it runs out
            own_environment={1: own},
        )
        assert ended.codes == [0, 0], ended.said
    said = [line for line in ended.said.splitlines() if "out of memory at step" in line]
    assert len(said) == 1 and "from now on each step is computed in 2 parts (train.accumulation=2)" in said[0]
    assert_equal(tmp_path / "told", tmp_path / "found")


def test_the_last_batch_is_smaller_than_the_processes(trained: tuple[Path, Ended]) -> None:
    meta = json.loads((trained[0] / "meta.json").read_text("utf-8"))
    assert meta["windows"] % 8 == 1
    assert meta["steps"] == 8


def test_only_the_first_process_writes_and_speaks(trained: tuple[Path, Ended]) -> None:
    run, ended = trained
    first, second = ended.writes
    assert any("step-" in path for path in first)
    assert [path for path in second if not path.startswith("/dev/")] == []
    assert ended.out[0]
    assert ended.out[1] == ""
    assert ended.err[1] == ""
    lines = Counter((run / "metrics.jsonl").read_text("utf-8").splitlines())
    assert set(lines.values()) == {1}
    assert [path for path in run.rglob(".*") if path.name != ".lock"] == []


def test_early_stopping_comes_at_the_same_step(crew: Crew, recipe: Path, tmp_path: Path) -> None:
    options = ("--set", "train.early_stopping=1", "--set", "train.evaluate_every=1", "--set", "train.epochs=20")
    for processes in (1, 2):
        ended = crew.run(processes, "train", recipe, "--output", tmp_path / str(processes), *options)
        assert ended.codes == [0] * processes, ended.said
    logs = [(tmp_path / name / "metrics.jsonl").read_text("utf-8").splitlines() for name in ("1", "2")]
    assert len(logs[0]) == len(logs[1])
    assert json.loads(logs[1][-1])["step"] < 80


def test_all_begin_with_the_first_ones_weights_and_their_average(
    crew: Crew, recipe: Path, trained: tuple[Path, Ended], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = crew.run(2, "train", recipe, "--output", run, own_environment={1: {"BEGIN_OTHERWISE": "yes"}})
    assert ended.codes == [0, 0], ended.said
    assert_equal(run, trained[0])


@pytest.mark.sweep(2)
@pytest.mark.parametrize("ranks", [(0, 1), (1,)])
def test_a_signal_stops_all_and_the_run_goes_on_exactly(
    crew: Crew, recipe: Path, long_run: Path, long: tuple[str, ...], tmp_path: Path, ranks: tuple[int, ...]
) -> None:
    run = tmp_path / "broken"
    running = crew.start(2, "train", recipe, "--output", run, *long)
    wait_for_steps(run, running)
    running.signal(signal.SIGTERM, *ranks)
    ended = running.ended()
    assert ended.codes == [143, 143], ended.said
    assert len(ended.told) == 1
    assert "stopped by SIGTERM after step" in ended.told[0]
    assert f"qakit train --resume --output {run}" in ended.told[0]
    step = json.loads((run / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"]
    assert step < 48, "the training was over too soon for this test"
    resumed = crew.run(2, "train", "--resume", "--output", run)
    assert resumed.codes == [0, 0], resumed.said
    assert_equal(run, long_run)


def test_after_a_killed_process_the_run_goes_on_exactly(
    crew: Crew, recipe: Path, trained: tuple[Path, Ended], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)  # as a training leaves it that was killed after its second checkpoint
    (run / "metrics.json").unlink()
    for folder in sorted((run / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(folder)
    running = crew.start(2, "train", "--resume", "--output", run)
    deadline = time.monotonic() + 200
    while (run / "metrics.jsonl").stat().st_size == (trained[0] / "metrics.jsonl").stat().st_size:
        assert time.monotonic() < deadline
    running.signal(signal.SIGKILL, 1)
    ended = running.ended()
    assert ended.codes[1] == -9
    assert ended.codes[0] in (0, 2), ended.said
    if ended.codes[0]:
        assert len(ended.told) == 1
        assert "the connection to another process of this command is lost" in ended.told[0]
        assert "Traceback" not in ended.err[0]
    assert crew.run(2, "train", "--resume", "--output", run).codes == [0, 0]
    assert_equal(run, trained[0])


def test_all_processes_learn_that_a_run_is_finished(crew: Crew, trained: tuple[Path, Ended], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    ended = crew.run(2, "train", "--resume", "--output", run)
    assert ended.codes == [0, 0], ended.said
    assert ["is finished: there is nothing left to do" in text for text in ended.err] == [True, False]
    assert not (run / "checkpoints").exists()
    assert_equal(run, trained[0])


@pytest.mark.parametrize("failing", [[0], [1], [0, 1]])
def test_bad_data_in_some_process_is_told_once_and_nobody_waits(
    crew: Crew, recipe: Path, tmp_path: Path, failing: list[int]
) -> None:
    (tmp_path / "train.json").write_text('{"data": [{"title": "", "paragraphs": [3]}]}', "utf-8")
    elsewhere = {rank: {"TRAIN_FOLDER": str(tmp_path)} for rank in failing}
    ended = crew.run(2, "train", recipe, "--output", tmp_path / "run", own_environment=elsewhere)
    assert ended.codes == [2 if rank in failing else 1 for rank in (0, 1)], ended.said
    assert len(ended.told) == 1
    assert f"{tmp_path}/train.json" in ended.told[0]
    assert not any("Traceback" in text for text in ended.err)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("failing", [[0], [1], [0, 1]])
def test_a_preflight_that_fails_in_some_process_is_told_once_and_nobody_waits(
    crew: Crew, recipe: Path, tmp_path: Path, failing: list[int]
) -> None:
    broken = {rank: {"BREAK_HEAD": "yes"} for rank in failing}
    ended = crew.run(2, "train", recipe, "--output", tmp_path / "run", own_environment=broken)
    assert ended.codes == [2 if rank in failing else 1 for rank in (0, 1)], ended.said
    assert len(ended.told) == 1
    assert "preflight, forward pass: in head 'linear_span' of plugin qakit 0.1.0: forward fails" in ended.told[0]
    assert not any("Traceback" in text for text in ended.err)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change", ["a question less", "another answer"])
def test_processes_with_different_data_are_refused(
    crew: Crew, recipe: Path, data: Path, tmp_path: Path, change: str
) -> None:
    train = json.loads((data / "train.json").read_text("utf-8"))
    questions = train["data"][0]["paragraphs"][0]["qas"]
    if change == "a question less":
        del questions[0]
    else:
        questions[0]["answers"] = questions[1]["answers"]
    (tmp_path / "train.json").write_text(json.dumps(train), "utf-8")
    elsewhere = {1: {"TRAIN_FOLDER": str(tmp_path)}}
    ended = crew.run(2, "train", recipe, "--output", tmp_path / "run", own_environment=elsewhere)
    assert ended.codes == [2, 2], ended.said
    assert len(ended.told) == 1
    assert "every process needs the same recipe, data" in ended.told[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["", "model", "checkpoints", "metrics.jsonl", "predictions"])
def test_a_folder_that_cannot_be_written_is_told_once_and_nobody_waits(
    crew: Crew, recipe: Path, tmp_path: Path, place: str
) -> None:
    run = tmp_path / "run"
    ended = crew.run(
        2, "train", recipe, "--output", run, "--quiet", own_environment={0: {"REFUSE_WRITING": str(run / place)}}
    )
    assert ended.codes[0] == 2, ended.said
    assert ended.codes[1] in (1, 2), ended.said
    assert len(ended.told) == 1
    assert "Read-only file system" in ended.told[0]
    assert not any("Traceback" in text for text in ended.err)
