"""Atomic writing: the old file or the new one, never half of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.errors import OutputError, UsageError
from qakit.files import (
    atomic_path,
    home_folder,
    recover_folder,
    refused_by_system,
    remove_unfinished,
    replace_folder,
    without_tilde,
    write_text,
    writing,
)


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


@pytest.mark.parametrize("folder", [".", "..", "/", "a/.."])
def test_a_folder_that_has_no_name_of_its_own_is_not_replaced(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(OutputError, match="this folder cannot be replaced; name a new one"),
        replace_folder(Path(folder)),
    ):
        pass
    assert not any(tmp_path.iterdir())


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
