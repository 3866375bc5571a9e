"""Making a run's folder, and being alone in it."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from command_line import invoke

from qakit.errors import OutputError, RunError
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, Recipe
from qakit.runs import ENSEMBLE, FOLDS, MEMBERS_FILE, Run, alone_in, check_free, create_run, ensemble_members, open_run

RECIPE = Recipe(name="one", data=DataSection(reader=PluginRef(name="squad")), backbone=BackboneSection(source="x"))


def test_what_a_kill_leaves_before_there_is_a_recipe_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / ".recipe.yaml.0123abcd-17-5.00c0ffee.tmp").write_text("dat")
    check_free(folder)
    create_run(RECIPE, folder)
    assert (folder / "recipe.yaml").is_file()


@pytest.mark.parametrize("name", ["notes.txt", ".env", "recipe.yaml"])
def test_a_users_own_file_is_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(RunError, match="exists and is not empty"):
        check_free(tmp_path)


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match=r"cannot write .*deep: Permission denied"):
        check_free(tmp_path / "very" / "deep")


def test_two_trainings_that_begin_at_once_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {create_run(RECIPE, None).folder for _ in range(3)}
    assert len(folders) == 3


def test_who_makes_a_run_where_another_process_is_at_it_is_refused(tmp_path: Path) -> None:
    with alone_in(Run(tmp_path)), pytest.raises(RunError, match="another process is training"):
        create_run(RECIPE, tmp_path)
    assert not (tmp_path / "recipe.yaml").exists()


def ensemble_of(folder: Path, *members: Path) -> Run:
    for member in members:
        member.mkdir(parents=True, exist_ok=True)
    described = {"members": [{"path": str(member.absolute())} for member in members]}
    (folder / ENSEMBLE).write_text(json.dumps(described), "utf-8")
    return Run(folder)


def test_a_copied_or_moved_ensemble_reads_its_own_members(tmp_path: Path) -> None:
    """And those that lie elsewhere where they lie, though one of its own has the same name."""
    original, elsewhere = tmp_path / "original", tmp_path / "runs" / "a"
    own = [original / "members" / name for name in ("a", "b")]
    original.mkdir()
    run = ensemble_of(original, own[0], own[1], elsewhere)
    assert ensemble_members(run) == [*own, elsewhere]
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    there = [copy / "members" / name for name in ("a", "b")]
    assert ensemble_members(Run(copy)) == [*there, elsewhere]
    shutil.rmtree(original)
    assert ensemble_members(Run(copy)) == [*there, elsewhere]


def test_a_member_that_is_missing_is_not_looked_for_in_another_place(tmp_path: Path) -> None:
    original, elsewhere = tmp_path / "original", tmp_path / "runs" / "a"
    original.mkdir()
    ensemble_of(original, original / "members" / "a", original / "members" / "b", elsewhere)
    (original / MEMBERS_FILE).write_text(json.dumps({"train": ["a", "b"]}), "utf-8")
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    shutil.rmtree(copy / "members" / "b")
    elsewhere.rmdir()
    assert ensemble_members(Run(copy)) == [copy / "members" / "a", copy / "members" / "b", elsewhere]
    exported = {"members": [{"path": "members/1-a"}]}
    (copy / ENSEMBLE).write_text(json.dumps(exported), "utf-8")
    assert ensemble_members(Run(copy)) == [copy / "members" / "1-a"]


def test_an_ensemble_of_another_ones_members_reads_those(tmp_path: Path) -> None:
    members = [tmp_path / "first" / "members" / name for name in ("a", "b")]
    (tmp_path / "second").mkdir()
    assert ensemble_members(ensemble_of(tmp_path / "second", *members)) == members


@pytest.mark.parametrize("moves", range(6))
def test_a_run_of_several_files_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """Wherever its making is cut off: what says of which kind it is comes with its recipe."""
    folder, rename, left = tmp_path / "run", Path.replace, iter(range(3 + moves))

    def renamed(self: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Path, "replace", renamed)
        create_run(RECIPE, folder, others={FOLDS: "{}", "meta.json": '{"seed": 1}'})
    try:
        run = open_run(folder)
    except RunError:
        check_free(folder)
        run = create_run(RECIPE, folder, others={FOLDS: "{}", "meta.json": '{"seed": 1}'})
    assert run.is_folds
    assert run.read_json(run.meta_file) == {"seed": 1}
    assert {path.name for path in folder.iterdir()} == {"recipe.yaml", FOLDS, "meta.json", ".lock"}


def test_files_that_a_training_replaces_at_this_moment_are_as_good_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks whether a file is there and then opens it meets the moment in between."""
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    run = Run(tmp_path / "run")
    assert run.read_json(run.metrics_file) == {}
    assert list(run.metrics()) == []


def test_showing_a_run_beside_a_training_that_replaces_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_run(RECIPE, tmp_path / "run")
    (tmp_path / "run" / "model").mkdir()
    look = os.scandir

    def replaced(folder: str | os.PathLike[str]) -> Any:
        if str(folder).endswith("model"):
            raise FileNotFoundError(2, "No such file or directory", str(folder))
        return look(folder)

    monkeypatch.setattr(os, "scandir", replaced)
    result = invoke("runs", "show", tmp_path / "run")
    assert result.exit_code == 0
    assert "files: recipe.yaml" in result.output
