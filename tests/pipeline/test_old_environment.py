"""Hand-ins answer alike with the oldest packages that they are for: Python 3.10, torch 2.1, transformers 4.50."""

from __future__ import annotations

import os
from pathlib import Path

import old_environment
import pytest
from command_line import Invoke
from old_environment import VARIABLE, NotInstalledError, old_python
from tiny_handins import HEADS, MEMBERS, Train, run_script

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # for the downloads


@pytest.fixture(scope="session")
def graders() -> Path:
    """The interpreter with old packages."""
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} names no folder for an environment with old packages: make test-old")
    try:
        return old_python(Path(os.environ[VARIABLE]))
    except NotInstalledError as error:
        pytest.skip(f"no old packages: {error}")


@pytest.fixture
def whole(request: pytest.FixtureRequest, train_tiny: Train, invoke: Invoke, tmp_path: Path) -> Path:
    """A run of the kind that the test names."""
    if request.param == "two stages":
        return request.getfixturevalue("trained_pipeline")
    if not request.param.startswith("ensemble"):
        return train_tiny(request.param, *HEADS.get(request.param, ()))
    members = [train_tiny(name, *settings) for name, settings in MEMBERS.items()]
    made = invoke("ensemble", *members, "--method", request.param.split()[-1], "--folder", tmp_path / "both", "--quiet")
    assert made.exit_code == 0, made.output
    return tmp_path / "both"


@pytest.mark.usefixtures("forked_python")
@pytest.mark.parametrize(
    "whole", ["linear", "crf", "two stages", "ensemble nbest", "ensemble char_average"], indirect=True
)
def test_old_packages_answer_alike(
    whole: Path, graders: Path, questions: Path, adl_data: Path, invoke: Invoke, tmp_path: Path
) -> None:
    """The tiny models are sure enough of their answers for sums in another order."""
    assert "written" in invoke("handin", whole, "--output", tmp_path / "folder").output
    files = [questions / "test.json"]
    if (whole / "selection").is_dir():
        files = [adl_data / "context.json", adl_data / "test.json"]
    (made,) = (whole / "predictions").glob("submission.*")
    done = run_script(tmp_path / "folder", *files, tmp_path / "answers", PYTHON=str(graders), PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "answers").read_bytes() == made.read_bytes()


@pytest.mark.exhaustive
def test_what_does_not_install_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By pip's own line; and nothing is left."""
    monkeypatch.setattr(old_environment, "_interpreters", lambda: iter([]))
    monkeypatch.setattr(old_environment, "LATER", ("--no-index", "safetensors==0.0.0"))
    with pytest.raises(NotInstalledError, match=r"Could not find a version .* safetensors==0\.0\.0"):
        old_python(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_installing_ends_in_time(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="not done in time"):
        old_python(tmp_path / "none", seconds=0)
    assert not (tmp_path / "none").exists()
