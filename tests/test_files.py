"""Atomic writing: the old file or the new one, never half of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.errors import OutputError
from qakit.files import atomic_path, recover_folder, remove_unfinished, replace_folder, write_text, writing


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


def test_who_looks_between_the_two_renames_does_not_disturb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    with replace_folder(folder) as temporary:
        (temporary / "weights").write_text("old")
    rename, looked = Path.replace, iter([True])

    def renamed(self: Path, target: Path) -> Path:
        if target == folder and self.suffix == ".tmp" and next(looked, False):
            recover_folder(folder)  # another process opens the run just now
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", renamed)
    with replace_folder(folder) as temporary:
        (temporary / "weights").write_text("new")
    assert (folder / "weights").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_librarys_own_words_for_a_full_disk_are_understood(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"^cannot write .*weights: No space left on device$"),
        writing(tmp_path / "weights"),
    ):
        raise Exception("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="a bug"), writing(tmp_path / "weights"):
        raise RuntimeError("a bug")


def test_safetensors_and_tokenizers_speak_these_words(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models

    missing = tmp_path / "missing"
    with pytest.raises(OutputError, match="No such file or directory"), writing(missing):
        save_file({"weight": torch.zeros(2)}, missing / "weights")
    with pytest.raises(OutputError, match="No such file or directory"), writing(missing):
        Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(missing / "tokenizer.json"))


def test_temporary_files_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".answers.csv.x1.tmp").write_text("half")
    (tmp_path / "answers.tmp").write_text("a user's")
    (tmp_path / ".model.x2.tmp").mkdir()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"answers.tmp", ".model.x2.tmp"}
