"""Temporary files belong to a process, and are removed when it is gone; nobody else's are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.files import atomic_path, replace_folder, temporary_folder
from qakit.temporary import FOREIGN_SECONDS, is_temporary, remove_leftovers, temporary_path

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 255
)


@pytest.fixture
def of_a_killed_process(tmp_path: Path) -> Callable[[str], Path]:
    """Makes what a process left for a target that was killed at its work."""

    def leave(target: str) -> Path:
        code = (
            "import os, sys; from pathlib import Path; from qakit.temporary import temporary_path\n"
            "path = temporary_path(Path(sys.argv[1])); path.mkdir(); (path / 'half').touch(); print(path); os._exit(9)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / target)], capture_output=True, text=True)
        path = Path(done.stdout.removesuffix("\n"))
        assert path.is_dir(), done.stderr
        return path

    return leave


def test_what_a_killed_process_left_is_removed(tmp_path: Path, of_a_killed_process: Callable[[str], Path]) -> None:
    left = of_a_killed_process("answers.csv")
    (tmp_path / "answers.tmp").write_text("a user's")
    (tmp_path / ".answers.csv.x1y2z3.tmp").write_text("some other program's")
    remove_leftovers(tmp_path)
    assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"answers.tmp", ".answers.csv.x1y2z3.tmp"}


def test_what_a_process_at_work_has_is_not(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "model") as temporary, atomic_path(tmp_path / "answers.csv") as file:
        remove_leftovers(tmp_path)  # as another training does that begins there
        assert temporary.is_dir()
        assert file.is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "answers.csv"}


def test_a_process_with_the_same_number_is_another_one(tmp_path: Path) -> None:
    own = temporary_path(tmp_path / "model")
    host, _, rest = own.name.removeprefix(".model.").partition("-")
    pid, _, start = rest.partition(".")[0].partition("-")
    assert int(pid) == os.getpid()
    before = own.with_name(f".model.{host}-{pid}-{int(start) - 1}.{own.name[-12:]}")
    for path in (own, before):
        path.mkdir()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [own]


def test_what_another_machine_left_waits_for_a_day(tmp_path: Path) -> None:
    path = tmp_path / ".model.0123abcd-17-5.00c0ffee.tmp"
    path.mkdir()
    (path / "weights").touch()
    remove_leftovers(tmp_path)
    assert path.exists()
    for each in (path / "weights", path):
        old = each.stat().st_mtime - FOREIGN_SECONDS - 60
        os.utime(each, (old, old))
    remove_leftovers(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize(("one", "other"), [("out", "out.v2"), ("[ab]", "a"), ("*", "b"), ("a?", "ab")])
def test_a_neighbours_leftovers_are_the_neighbours(
    tmp_path: Path, of_a_killed_process: Callable[[str], Path], one: str, other: str
) -> None:
    own, neighbours = of_a_killed_process(one), of_a_killed_process(other)
    with replace_folder(tmp_path / one) as temporary:
        (temporary / "file").touch()
    assert not own.exists()
    assert neighbours.is_dir()


def test_a_file_is_written_again_without_what_is_left_of_it(
    tmp_path: Path, of_a_killed_process: Callable[[str], Path]
) -> None:
    left = of_a_killed_process("compare.png")
    with atomic_path(tmp_path / "compare.png"):
        pass
    assert not left.exists()


@given(NAMES)
def test_any_name_that_the_file_system_takes_has_temporary_ones(name: str) -> None:
    path = temporary_path(Path("folder") / name)
    assert len(os.fsencode(path.name)) <= 255
    assert is_temporary(path.name)


def test_a_folder_with_the_longest_name_can_be_replaced(tmp_path: Path) -> None:
    folder = tmp_path / ("答" * 85)
    for content in ("one", "two"):
        with replace_folder(folder) as temporary:
            (temporary / "file").write_text(content)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert (folder / "file").read_text() == "two"


def test_a_temporary_folder_is_gone_in_the_end(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), temporary_folder(tmp_path / "data") as temporary:
        (temporary / "archive").touch()
        raise RuntimeError
    assert not any(tmp_path.iterdir())
