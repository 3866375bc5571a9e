"""`qakit predict --engine ray`: the bytes of one process, whoever is killed."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke
from crew import Crew
from ray_nodes import VARIABLES, RayNodes
from sample_questions import write_first_questions

pytestmark = pytest.mark.slow

PATIENCE = 180.0


@pytest.fixture(scope="module")
def questions(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six files with 2 to 7 questions each, in folders of that name."""
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


@pytest.mark.exhaustive
def test_a_stopped_command_goes_on_to_the_answers_of_one_process_and_none_is_made_twice(
    ray_nodes: RayNodes, crew: Crew, small_run: Path, questions: Path, local: Path, tmp_path: Path, invoke: Invoke
) -> None:
    bad, folder = tmp_path / "in" / "bad", tmp_path / "far"
    bad.mkdir(parents=True)
    (bad / "dev.json").write_text("{", "utf-8")
    given = ("predict", small_run, "-i", questions, "-i", tmp_path / "in", "--json", "--keep-going", "-o")
    command = (*given, folder, "--engine", "ray")
    stopped = crew.start(1, *command, environment={**VARIABLES, "RAY_ADDRESS": ray_nodes.cluster.address})
    deadline = time.monotonic() + PATIENCE
    while not answers(folder):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stopped.signal(signal.SIGTERM)
    ended = stopped.ended()
    assert (ended.codes, ended.out) == ([143], [""])
    assert ended.err == [
        f"error: stopped by SIGTERM; finished files stay in {folder}, continue with the same command\n"
    ]
    before = {file: file.stat().st_mtime_ns for file in folder.glob("_progress/done/*/*.json")}
    assert 0 < len(before) < 6
    here, last = invoke(*given, tmp_path / "here"), invoke(*command)
    assert (here.exit_code, last.exit_code) == (1, 1)
    rows = told(here.stdout)["rows"] - sum(int(file.parent.name) for file in before)
    rest = {"folder": str(folder), "skipped": len(before), "answered": 6 - len(before), "rows": rows}
    assert told(last.stdout) == told(here.stdout) | rest
    assert list(told(last.stdout)["failed"]) == [str(bad / "dev.json")]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert len(answers(local)) == 6
    assert answers(folder) == answers(local)
    again = invoke("predict", small_run, "-i", questions, "-o", folder, "--engine", "ray", "--json")
    assert again.exit_code == 0, again.output
    whole = {"folder": str(folder), "files": 6, "elsewhere": 0, "failed": {}}
    assert told(again.stdout) == whole | {"answered": 0, "skipped": 6, "rows": 0}
    assert again.stderr == ""


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
