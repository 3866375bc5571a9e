"""Evaluation and prediction in several processes: each computes its share, the first one writes what one would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from crew import Crew, Ended

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("processes", [2, 3])
def test_shared_prediction_writes_what_one_process_writes(
    crew: Crew, trained: tuple[Path, Ended], data: Path, tmp_path: Path, processes: int
) -> None:
    files = {}
    for size in (1, processes):
        folder = tmp_path / str(size)
        names = ("answers.csv", "nbest.jsonl", "characters.safetensors")
        paths = [folder / name for name in names]
        ended = crew.run(
            size, "predict", trained[0], "--input", data / "dev.json", "--output", paths[0],
            "--nbest", paths[1], "--character-scores", paths[2], "--json",
        )  # fmt: skip
        assert ended.codes == [0] * size, ended.said
        assert json.loads(ended.out[0])["rows"] == 9
        assert not any(ended.out[1:])
        assert not any(str(tmp_path) in path for writes in ended.writes[1:] for path in writes)
        files[size] = [path.read_bytes() for path in paths]
    assert files[1] == files[processes]


def test_several_processes_answer_for_an_ensemble(
    crew: Crew, trained: tuple[Path, Ended], data: Path, tmp_path: Path
) -> None:
    other, whole, written = tmp_path / "other", tmp_path / "whole", {}
    shutil.copytree(trained[0], other, ignore=shutil.ignore_patterns("checkpoints"))
    made = crew.run(1, "ensemble", trained[0], other, "--method", "nbest", "--weights", "1,2", "--folder", whole)
    assert made.codes == [0], made.said
    for size in (1, 2):
        paths = tmp_path / f"{size}.csv", tmp_path / f"{size}.jsonl"
        options = ("--input", data / "dev.json", "--output", paths[0], "--nbest", paths[1])
        ended = crew.run(size, "predict", whole, *options)
        assert ended.codes == [0] * size, ended.said
        written[size] = [path.read_bytes() for path in paths]
    assert written[1] == written[2]


def test_shared_evaluation_gives_the_figures_of_one_process(
    crew: Crew, trained: tuple[Path, Ended], data: Path
) -> None:
    outputs = []
    for size in (1, 2):
        ended = crew.run(size, "evaluate", trained[0], "--input", data / "dev.json", "--json")
        assert ended.codes == [0] * size, ended.said
        assert not any(ended.out[1:])
        outputs.append(ended.out[0])
    assert outputs[0] == outputs[1]


def test_a_missing_file_is_told_once(crew: Crew, trained: tuple[Path, Ended], tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("[", "utf-8")
    ended = crew.run(2, "predict", trained[0], "--input", broken, "--output", tmp_path / "answers.csv")
    assert ended.codes == [2, 2]
    assert len(ended.told) == 1
    assert str(broken) in ended.told[0]
    assert not (tmp_path / "answers.csv").exists()
