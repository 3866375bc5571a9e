"""The folder that answers a file without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qakit import __version__

NO_NETWORK = """
import socket

def refuse(*_, **__):
    raise OSError("there is no network here")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
"""


@pytest.fixture(scope="module")
def offline(trained_pipeline: Path, tmp_path_factory: pytest.TempPathFactory, invoke) -> Path:
    folder = tmp_path_factory.mktemp("offline") / "export"
    result = invoke("export", trained_pipeline, "--offline", "--output", folder)
    assert result.exit_code == 0, result.output
    return folder


def answer(folder: Path, work: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script with its network shut, from a folder of its own."""
    (work / "shut").mkdir(exist_ok=True)
    (work / "shut" / "sitecustomize.py").write_text(NO_NETWORK, "utf-8")
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(work / "shut"), **variables}
    return subprocess.run(
        ["bash", str(folder / "run.sh"), *map(str, arguments)],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_folder_is_whole(offline: Path, trained_pipeline: Path, adl_data: Path) -> None:
    names = {path.relative_to(offline).as_posix() for path in offline.rglob("*") if path.is_file()}
    assert {"run.sh", "README.txt", "requirements.txt", f"qakit-{__version__}-py3-none-any.whl"} <= names
    assert {"run/recipe.yaml", "run/pipeline.yaml", "run/combine.json"} <= names
    assert {f"run/{name}/model/model.safetensors" for name in ("selection", "span")} <= names
    assert "torch==" in (offline / "requirements.txt").read_text("utf-8")
    assert "run.sh context.json test.json prediction.csv" in (offline / "README.txt").read_text("utf-8")
    for recipe in offline.rglob("*.yaml"):
        assert str(adl_data) not in recipe.read_text("utf-8")  # names no data of this machine


@pytest.mark.sweep(2)
@pytest.mark.slow
@pytest.mark.parametrize("installed", [True, False], ids=["installed", "wheel"])
def test_without_a_network_the_answers_are_the_same_bytes(
    offline: Path, trained_pipeline: Path, adl_data: Path, tmp_path: Path, *, installed: bool
) -> None:
    moved = tmp_path / "moved away"
    shutil.copytree(offline, moved)
    if not installed:  # another version than the installed one: the wheel is used
        (wheel,) = moved.glob("*.whl")
        wheel.rename(moved / wheel.name.replace(__version__, "0.0.0"))
    (tmp_path / "data").mkdir()
    contexts, questions = tmp_path / "data" / "all texts.json", tmp_path / "questions.json"
    shutil.copy(adl_data / "context.json", contexts)
    shutil.copy(adl_data / "test.json", questions)
    before = {path: path.stat().st_mtime_ns for path in moved.rglob("*")}
    work = tmp_path / "work"
    work.mkdir()
    done = answer(moved, work, contexts, questions, "prediction.csv")
    assert done.returncode == 0, done.stderr
    assert (work / "prediction.csv").read_bytes() == (trained_pipeline / "predictions" / "submission.csv").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in moved.rglob("*")} == before
    assert {path.name for path in work.iterdir()} == {"prediction.csv", "shut"}


def test_what_was_tuned_goes_with_it_and_is_not_tuned_away(offline: Path, tmp_path: Path, invoke) -> None:
    """Without its validation file it could only be replaced by what is not tuned."""
    run = tmp_path / "run"
    shutil.copytree(offline / "run", run)
    before = (run / "combine.json").read_bytes()
    result = invoke("train", "--resume", "--output", run, "--quiet")
    assert result.exit_code == 2
    assert "is an export, and nothing is left to be done there" in str(result.exception)
    assert (run / "combine.json").read_bytes() == before


def test_wrong_arguments_are_told_how_to_run_it(offline: Path, tmp_path: Path) -> None:
    done = answer(offline, tmp_path, "test.json", "prediction.csv")
    assert done.returncode == 2
    assert done.stderr == "usage: run.sh context.json test.json prediction.csv\n"


def test_a_run_and_folders_in_use(trained_pipeline: Path, offline: Path, tmp_path: Path, invoke) -> None:
    result = invoke("export", trained_pipeline / "span", "--offline", "--output", tmp_path / "one", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["command"].endswith("run.sh context.json test.json prediction.csv")
    assert (tmp_path / "one" / "run" / "model" / "model.safetensors").is_file()
    again = invoke("export", trained_pipeline / "span", "--offline", "--output", tmp_path / "one")
    assert again.exit_code == 2
    assert "choose another --output" in str(again.exception)
