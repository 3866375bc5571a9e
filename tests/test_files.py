"""Atomic writing: the old file or the new one, never half of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.files import atomic_path, recover_folder, replace_folder, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "answers.csv"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_line_ends_are_written_as_they_are(tmp_path: Path) -> None:
    write_text(tmp_path / "sub" / "a.txt", "a\r\nb\n")
    assert (tmp_path / "sub" / "a.txt").read_bytes() == b"a\r\nb\n"


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for content in ("one", "two"):
        with replace_folder(folder) as temporary:
            (temporary / "weights").write_text(content)
    assert (folder / "weights").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failed_replacement_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with replace_folder(folder) as temporary:
        (temporary / "weights").write_text("old")
    with pytest.raises(RuntimeError), replace_folder(folder) as temporary:
        (temporary / "weights").write_text("new")
        raise RuntimeError
    assert (folder / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_kill_between_the_two_renames_is_undone(tmp_path: Path) -> None:
    (tmp_path / ".model.old").mkdir()
    (tmp_path / ".model.old" / "weights").write_text("old")
    recover_folder(tmp_path / "model")
    assert (tmp_path / "model" / "weights").read_text() == "old"


def test_a_kill_after_the_second_rename_keeps_the_new_folder(tmp_path: Path) -> None:
    for name, content in ((".model.old", "old"), ("model", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(content)
    recover_folder(tmp_path / "model")
    assert (tmp_path / "model" / "weights").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
