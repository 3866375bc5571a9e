"""Atomic writing: the old file or the new one, never half of one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qakit.errors import OutputError
from qakit.files import add_files, atomic_path, recover_files, recover_folder, replace_folder, write_text, writing


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


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Sets the umask for a test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(
    ("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_what_is_written_has_the_modes_of_the_umask_whoever_writes_it(
    tmp_path: Path, umask: Callable[[int], int], mask: int, file: int, folder: int
) -> None:
    import torch
    from safetensors.torch import save_file

    umask(mask)
    with atomic_path(tmp_path / "weights") as temporary:
        save_file({"a": torch.zeros(1)}, temporary)  # for the user alone, whatever the umask says
    with replace_folder(tmp_path / "model") as temporary:
        save_file({"a": torch.zeros(1)}, temporary / "weights")
        (temporary / "part").mkdir(mode=0o700)
        (temporary / "part" / "run.sh").touch()
        (temporary / "part" / "run.sh").chmod(0o500)
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {
        "weights": file,
        "model": folder,
        "model/weights": file,
        "model/part": folder,
        "model/part/run.sh": folder,  # what could be run still can
    }


def test_a_folder_that_was_meant_to_be_shared_by_a_group_stays_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    with replace_folder(tmp_path / "model") as temporary:
        (temporary / "weights").touch()
    assert (tmp_path / "model").stat().st_mode & 0o2000


def test_all_of_a_folder_is_on_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = recorded(monkeypatch, tmp_path)
    with replace_folder(tmp_path / "made" / "model") as temporary:
        (temporary / "part").mkdir()
        (temporary / "part" / "weights").write_text("new")
        (temporary / "config").write_text("new")
    assert done == [
        "sync .",  # the name of `made`, which is new
        *("sync made/TEMPORARY/part/weights", "sync made/TEMPORARY/part"),
        *("sync made/TEMPORARY/config", "sync made/TEMPORARY"),
        "made/TEMPORARY -> made/model",
        "sync made",
    ]


def test_the_last_file_appears_when_all_others_are_there_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = recorded(monkeypatch, tmp_path)
    with add_files(tmp_path, last="config") as temporary:
        for name in ("weights", "config", "tokenizer"):
            (temporary / name).write_text(name)
    moved = [line for line in done if "TEMPORARY/" not in line]
    assert moved == [
        *("sync TEMPORARY", "TEMPORARY -> .config.adding", "sync ."),
        ".config.adding/tokenizer -> tokenizer",
        ".config.adding/weights -> weights",
        *("sync .", ".config.adding/config -> config", "sync ."),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"weights", "config", "tokenizer"}


@pytest.mark.parametrize("moves", range(4))
def test_files_that_a_killed_process_was_adding_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "old").touch()
    rename, left = Path.replace, iter(range(1 + moves))

    def renamed(self: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt  # as good as a kill: nothing tidies up after it
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", renamed)
        with add_files(tmp_path, last="config") as temporary:
            (temporary / "part").mkdir()
            (temporary / "part" / "new").touch()
            for name in ("weights", "config"):
                (temporary / name).write_text(name)
    assert not (tmp_path / "config").exists()
    recover_files(tmp_path, last="config")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        *("config", "part", "part/new", "weights")
    ]


def recorded(monkeypatch: pytest.MonkeyPatch, root: Path) -> list[str]:
    """What is synced and renamed below a folder, in order."""
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def name(path: str | Path) -> str:
        return re.sub(r"\.[^/]*\.tmp", "TEMPORARY", Path(path).relative_to(root).as_posix())

    def fsync(handle: int) -> None:
        file = Path("/proc/self/fd", str(handle)).readlink()
        done.append(f"sync {name(file)}")
        sync(handle)

    def replace(self: Path, target: Path) -> Path:
        done.append(f"{name(self)} -> {name(target)}")
        return rename(self, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("what a file is called is asked of Linux")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    return done


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (file := tmp_path / "small.yaml").touch()
    target = file / "b" / "z.csv"
    with pytest.raises(OutputError, match=f"^cannot write {re.escape(f'{target}: {file}')} is a file, no folder$"):
        write_text(target, "")
