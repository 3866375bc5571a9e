"""`qakit predict --engine ray`: the bytes of one process, whoever is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke
from ray_nodes import RayNodes
from sample_questions import write_first_questions

pytestmark = pytest.mark.slow

PATIENCE = 180.0


@pytest.fixture(scope="module")
def questions(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six files with 2 to 7 questions each."""
    folder = tmp_path_factory.mktemp("questions")
    for count in range(2, 8):
        part = folder / f"{count}"
        part.mkdir()
        write_first_questions(samples, part, dev=count)
    return folder


@pytest.fixture(scope="module")
def local(small_run: Path, questions: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their answers, of one process."""
    folder = tmp_path_factory.mktemp("local") / "answers"
    assert invoke("predict", small_run, "-i", questions, "-o", folder).exit_code == 0
    return folder


def answers(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.glob("*/*.jsonl")}


def told(text: str) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(text)
    return {name: value for name, value in summary.items() if "second" not in name}


def test_the_answers_are_those_of_one_process_and_are_not_made_twice(
    ray_nodes: RayNodes, small_run: Path, questions: Path, local: Path, tmp_path: Path, invoke: Invoke
) -> None:
    command = ("predict", small_run, "-i", questions, "-o", tmp_path / "far", "--engine", "ray", "--json")
    first = invoke(*command)
    assert first.exit_code == 0, first.output
    assert len(answers(local)) == 6
    assert answers(tmp_path / "far") == answers(local)
    whole = {"folder": str(tmp_path / "far"), "files": 6, "elsewhere": 0, "failed": {}}
    assert told(first.stdout) == whole | {"answered": 6, "skipped": 0, "rows": 27}
    assert first.stderr == ""
    assert told(invoke(*command).stdout) == whole | {"answered": 0, "skipped": 6, "rows": 0}


def test_a_bad_file_is_told_as_by_one_process(
    ray_nodes: RayNodes, small_run: Path, questions: Path, local: Path, tmp_path: Path, invoke: Invoke
) -> None:
    bad = tmp_path / "in" / "bad"
    bad.mkdir(parents=True)
    (bad / "dev.json").write_text("{", "utf-8")
    given = ("predict", small_run, "-i", questions, "-i", tmp_path / "in")
    here, far = (
        invoke(*given, "-o", tmp_path / name, "--json", "--keep-going", *options)
        for name, options in (("here", ()), ("far", ("--engine", "ray")))
    )
    assert (here.exit_code, far.exit_code) == (1, 1)
    assert told(far.stdout) == told(here.stdout) | {"folder": str(tmp_path / "far")}
    assert list(told(far.stdout)["failed"]) == [str(bad / "dev.json")]
    assert answers(tmp_path / "far") == answers(local)

    def words(*options: str) -> str:
        result = invoke("predict", small_run, "-i", tmp_path / "in", "-o", tmp_path / "none", *options)
        assert result.exit_code == 2
        return str(result.exception)

    assert words("--engine", "ray") == words()


def test_all_is_checked_before_there_is_a_cluster(
    small_run: Path, questions: Path, local: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    engine = ("--engine", "ray")

    def said(*arguments: object) -> str:
        result = invoke("predict", small_run, *arguments, *engine)
        assert result.exit_code == 2
        return str(result.exception)

    given = ("-i", questions, "-o")
    assert "deals out the files itself" in said(*given, tmp_path / "new", "--shard-of", "1/2")
    assert "--engine is for a folder of answers" in said("-i", questions / "2" / "dev.json", "-o", tmp_path / "a.csv")
    assert "holds the answers of another recipe" in said(*given, local, "--set", "predict.n_best=3")
    assert said(*given, tmp_path / "new") == "--engine ray needs Ray: pip install 'qakit[ray]'"


def test_a_killed_command_goes_on_and_no_file_is_answered_twice(
    ray_nodes: RayNodes, small_run: Path, questions: Path, local: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "far"
    command = [sys.executable, "-m", "qakit", "predict", str(small_run), "-i", str(questions), "-o", str(folder)]

    def start() -> subprocess.Popen[str]:
        arguments = [*command, "--engine", "ray", "--json"]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_for(true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    stopped = start()
    wait_for(lambda: bool(answers(folder)) or stopped.poll() is not None)
    stopped.send_signal(signal.SIGTERM)
    out, err = stopped.communicate(timeout=PATIENCE)
    assert (stopped.returncode, out) == (143, "")
    assert err == f"error: stopped by SIGTERM; finished files stay in {folder}, go on with the same command\n"
    before = {file: file.stat().st_mtime_ns for file in folder.glob("_progress/done/*/*.json")}
    assert 0 < len(before) < 6
    killed = start()
    wait_for(lambda: len(answers(folder)) > len(before) or killed.poll() is not None)
    killed.kill()
    killed.communicate()
    last = start()
    out, err = last.communicate(timeout=PATIENCE)
    assert (last.returncode, err) == (0, "")
    assert told(out)["skipped"] > len(before)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert answers(folder) == answers(local)
