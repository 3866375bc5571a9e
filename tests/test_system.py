"""Homes that are not known, and what the system refuses to any program."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.errors import UsageError
from qakit.system import home_folder, refused_by_system, without_tilde


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
