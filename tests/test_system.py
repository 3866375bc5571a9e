"""Homes that are not known, what the system refuses to any program, and processes that run this one again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import qakit
from qakit.errors import UsageError
from qakit.system import environment_of_children, home_folder, refused_by_system, without_tilde


def test_a_user_whom_the_system_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(UsageError, match="this user has no home folder: set the environment variable HOME"):
        home_folder()
    assert without_tilde("~/a") == Path("~/a")


def test_what_the_system_refuses_is_no_bug(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for look in (loop.stat, lambda: loop.resolve(strict=True), (tmp_path / ("x" * 300)).stat):
        with pytest.raises((OSError, RuntimeError)) as caught:
            look()
        assert refused_by_system(caught.value) is not None
    assert str(refused_by_system(MemoryError())) == "there is not enough memory for this"
    for bug in (FileNotFoundError(2, "gone", "a"), RuntimeError("dictionary changed size"), OSError("odd")):
        assert refused_by_system(bug) is None


def test_a_program_run_again_takes_nothing_from_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("import pathlib; pathlib.Path('ran').touch(); raise SystemExit(3)")
    again = [sys.executable, "-c", "import runpy; runpy.run_module('qakit', run_name='__main__')", "--version"]
    done = subprocess.run(
        again, env=environment_of_children(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"qakit {qakit.__version__}\n")
    assert not (tmp_path / "ran").exists()
    subprocess.run(again, cwd=tmp_path, capture_output=True, check=False)
    assert (tmp_path / "ran").exists(), "else this test shows nothing"


def test_every_process_that_is_started_here_is_started_that_way() -> None:
    package = Path(qakit.__file__).parent
    users = {path.name for path in package.rglob("*.py") if "environment_of_children" in path.read_text("utf-8")}
    started = {
        path.name
        for path in package.rglob("*.py")
        if "subprocess.Popen(" in path.read_text("utf-8") or "start_logged(" in path.read_text("utf-8")
    }
    assert started <= users, started - users
