"""Several trainings as one, killed and resumed, alone and under a launcher: the same bits as without a kill."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from crew import Crew, Running

pytestmark = pytest.mark.slow

SHORT = "{train.max_steps: 3, train.evaluate_every: 2, train.checkpoint_every: 1, predict.character_scores: true}"
FOLDS = "{train.max_steps: 2, train.checkpoint_every: 1, data.validation: null, folds: {k: 2, group_by: context}}"
ONCE = {"seconds", "peak_memory_mb", "windows_per_second", "commands"}
"""What says when, or how fast."""
UNLIKE = re.compile(r"(\.lock|timings\.jsonl|train\.log|\.tmp)$")


@pytest.fixture(scope="module")
def plans(recipe: Path, pipeline_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of several trainings."""
    folder = tmp_path_factory.mktemp("plans")
    rates = "grid: {train.learning_rate: [1e-3, 2e-3]"
    texts = {
        "ensemble": f"ensemble: {{method: char_average, weights: learn, train: {{recipe: {recipe}, set: {SHORT}, "
        f"{rates}, preprocess.predict.overlap: [16, 32]}}}}}}",
        "ensemble-of-folds": f"ensemble: {{method: nbest, train: {{recipe: {recipe}, set: {FOLDS}, seeds: [1, 2]}}}}",
        "study-of-folds": f"recipe: {recipe}\nset: {FOLDS}\n{rates}}}",
        "study-of-pipelines": f"recipe: {pipeline_recipe}\ngrid: {{combine.top_k: [1, 2]}}\n"
        "set: {span.train.max_steps: 2, selection.train.max_steps: 2}",
        "study-of-windows": f"recipe: {recipe}\nset: {SHORT}\ngrid: {{preprocess.predict.overlap: [8, 16, 32]}}",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(f"{text}\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def whole(plans: Path, crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """``whole("study-of-folds", 2)``: its folder, never interrupted."""

    @cache
    def made(kind: str, processes: int) -> Path:
        folder = tmp_path_factory.mktemp("whole") / kind
        ended = crew.run(processes, *command(plans, kind, folder))
        assert ended.codes == [0] * processes, ended.said
        return folder

    return made


def command(plans: Path, kind: str, folder: Path) -> tuple[object, ...]:
    words = ("study", "run") if kind.startswith("study") else ("train",)
    return (*words, plans / f"{kind}.yaml", "--output", folder, "--quiet")


def files_in(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.rglob("*") if path.is_file()]
    except FileNotFoundError:  # gone meanwhile
        return []


def comparable(folder: Path) -> dict[str, Any]:
    """Everything in a folder but times and its own place."""
    found: dict[str, Any] = {}
    for path in files_in(folder):
        if UNLIKE.search(path.name):
            continue
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes().replace(str(folder).encode(), b"FOLDER")
        found[name] = without(json.loads(content)) if path.suffix == ".json" else content
    return found


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without(part) for key, part in value.items() if key not in ONCE}
    return [without(part) for part in value] if isinstance(value, list) else value


def wait_until(running: Running, folder: Path, count: int) -> None:
    """Until so many files are there."""
    until = time.monotonic() + 300
    while len(files_in(folder)) < count:
        if time.monotonic() > until:
            running.signal(signal.SIGKILL)
            raise AssertionError(running.ended())
        time.sleep(0.02)


def trainings(folder: Path) -> list[str]:
    return sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob("metrics.jsonl"))


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("kind", "processes"),
    [("ensemble", 1), ("ensemble-of-folds", 1), ("study-of-folds", 2)],
)
def test_who_is_killed_goes_on_to_the_same_bits(
    kind: str, processes: int, plans: Path, whole: Callable[[str, int], Path], crew: Crew, tmp_path: Path
) -> None:
    killed, total, done = tmp_path / "killed" / kind, len(files_in(whole(kind, processes))), 0
    for share in (0.35, 0.9):
        running = crew.start(processes, *command(plans, kind, killed))
        wait_until(running, killed, int(share * total))
        running.signal(signal.SIGKILL)
        done += set(running.ended().codes) == {-9}
    assert done, "it was too fast to be killed"
    ended = crew.run(processes, *command(plans, kind, killed))
    assert ended.codes == [0] * processes, ended.said
    one, other = comparable(whole(kind, processes)), comparable(killed)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_a_study_of_windows_costs_one_training(plans: Path, crew: Crew, tmp_path: Path) -> None:
    ended = crew.run(2, *command(plans, "study-of-windows", tmp_path / "study"))
    assert ended.codes == [0, 0], ended.said
    assert trainings(tmp_path / "study") == ["runs/overlap8"]
    shown = crew.run(1, "study", "show", tmp_path / "study", "--json")
    trials = json.loads(shown.out[0])["trials"]
    assert [trial["state"] for trial in trials] == ["finished"] * 3


def test_studies_of_folds_and_pipelines_are_shown(whole: Callable[[str, int], Path], crew: Crew) -> None:
    for kind in ("study-of-folds", "study-of-pipelines"):
        study = whole(kind, 2)
        report = crew.run(1, "study", "report", study, "--json", "--resamples", 100)
        assert report.codes == [0], report.said
        (task,) = json.loads(report.out[0])["tasks"]
        assert len(task["rows"]) == 2 and task["differences"]
        shown = crew.run(1, "study", "show", study, "--json")
        assert [trial["state"] for trial in json.loads(shown.out[0])["trials"]] == ["finished"] * 2
        listed = crew.run(1, "study", "list", study.parent, "--json")
        assert [(row["trials"], row["finished"]) for row in json.loads(listed.out[0])] == [(2, 2)]


def test_a_pipeline_is_a_step_of_a_ladder(crew: Crew, pipeline_recipe: Path, tmp_path: Path) -> None:
    short = ("--set", "span.train.max_steps=2", "--set", "selection.train.max_steps=2")
    ended = crew.run(
        2, "ladder", pipeline_recipe, "--output", tmp_path / "ladder", "--resamples", 100, "--json", *short
    )
    assert ended.codes == [0, 0], ended.said
    (step,) = json.loads(ended.out[0])["steps"]
    assert step["error"] is None and step["score"] is not None
