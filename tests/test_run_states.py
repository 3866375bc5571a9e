"""What has become of a run, and what of it may go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import invoke

from qakit.errors import OutputError, QakitError, RunError
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, Recipe, TrainSection
from qakit.runs import Run, State, alone_in, bytes_of, create_run, forget_training, needed_to_resume, runs_in, state_of


def made(folder: Path, name: str = "one", *, epochs: float = 1) -> Run:
    """A run that has begun."""
    recipe = Recipe(
        name=name,
        data=DataSection(reader=PluginRef(name="squad")),
        backbone=BackboneSection(source="x"),
        train=TrainSection(epochs=epochs),
    )
    run = create_run(recipe, folder)
    run.meta_file.write_text("{}")
    return run


def test_a_run_whose_turn_has_not_come_is_waiting(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    run.meta_file.unlink()
    assert state_of(run) == State("waiting")


def with_checkpoints(run: Run, *, of_bytes: int = 1000) -> Run:
    for name in ("step-00000002", ".step-00000004.x.tmp"):
        (run.checkpoints / name).mkdir(parents=True)
        (run.checkpoints / name / "model.safetensors").write_bytes(bytes(of_bytes))
    run.soup.mkdir()
    (run.soup / "step-00000002.safetensors").write_bytes(bytes(of_bytes))
    return run


def finished(run: Run) -> Run:
    run.metrics_file.write_text(json.dumps({"validation": {"f1": 50.0}, "seconds": 90.0, "peak_memory_mb": 512.0}))
    return run


def listed(folder: Path) -> dict[str, Any]:
    rows = json.loads(invoke("runs", "list", folder, "--json").stdout)
    return {Path(row["run"]).name: row for row in rows}


def test_a_run_is_running_while_its_process_lives_and_then_interrupted(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    assert state_of(run) == State("interrupted")
    code = (
        "import sys, time; from pathlib import Path; from qakit.runs import Run, alone_in\n"
        "with alone_in(Run(Path(sys.argv[1]))): print('in', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run.folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert state_of(run) == State("running")
    assert listed(tmp_path)["run"]["state"] == "running"
    process.kill()
    process.communicate()
    assert state_of(run) == State("interrupted")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RunError("the disk is tired"), State("failed", "the disk is tired")),
        (ZeroDivisionError("x"), State("failed", "ZeroDivisionError: x")),
        (KeyboardInterrupt(), State("interrupted")),
    ],
)
def test_what_ended_a_run_is_known_until_it_is_gone_on_with(tmp_path: Path, error: BaseException, state: State) -> None:
    run = made(tmp_path / "run")
    with pytest.raises(type(error)), alone_in(run):
        raise error
    assert state_of(run) == state
    if state.reason is not None:
        assert f"failed: {state.reason}" in invoke("runs", "list", tmp_path).stdout
    with alone_in(run):
        assert not run.failure_file.exists()
    assert state_of(run) == State("interrupted")


def test_a_training_that_was_asked_to_stop_has_not_failed(tmp_path: Path) -> None:
    class StoppedError(QakitError):
        exit_code = 143

    run = made(tmp_path / "run")
    with pytest.raises(StoppedError), alone_in(run):
        raise StoppedError("stopped by SIGTERM")
    assert state_of(run) == State("interrupted")


def test_what_fails_in_a_finished_run_or_before_there_is_one_leaves_no_note(tmp_path: Path) -> None:
    for run in (finished(made(tmp_path / "run")), Run(tmp_path)):
        with pytest.raises(RunError), alone_in(run):
            raise RunError("no")
        assert not run.failure_file.exists()
    assert state_of(Run(tmp_path / "run")) == State("finished")


def test_a_failure_that_cannot_be_noted_is_told_as_it_is(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    run.failure_file.mkdir()
    with pytest.raises(OutputError), alone_in(run):
        pass
    run.failure_file.rmdir()
    with pytest.raises(RunError, match="the real one"), alone_in(run):
        run.failure_file.mkdir()
        raise RunError("the real one")


def test_a_folder_of_runs_is_as_far_as_its_parts(tmp_path: Path) -> None:
    whole = made(tmp_path / "folds")
    first, second = finished(made(whole.fold(1).folder)), made(whole.fold(2).folder)
    assert [run.folder for run in runs_in(tmp_path)] == [whole.folder, first.folder, second.folder]
    with alone_in(second):
        assert state_of(whole) == State("running")
    with pytest.raises(RunError), alone_in(second):
        raise RunError("it is over")
    assert state_of(whole) == State("failed", "fold-2: it is over")
    finished(second)
    assert state_of(whole) == State("interrupted")  # still to be joined
    assert listed(tmp_path)["folds"]["step"] is None
    assert "interrupted, step" not in invoke("runs", "list", tmp_path).stdout
    finished(whole)
    assert state_of(whole) == State("finished")
    assert " step " not in invoke("runs", "show", whole.folder).stdout


def test_the_list_tells_size_duration_beginning_and_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(with_checkpoints(made(tmp_path / "a")))
    made(tmp_path / "b", epochs=2)
    made(tmp_path / "c", "two", epochs=3)
    for number, name in enumerate("abc"):
        os.utime(tmp_path / name / "recipe.yaml", (1_700_000_000 + number,) * 2)
    rows = listed(tmp_path)
    assert rows["a"]["bytes"] == bytes_of(tmp_path / "a") > 3000
    assert (rows["a"]["seconds"], rows["a"]["peak_memory_mb"]) == (90.0, 512.0)
    assert rows["a"]["begun"][:5] == "2023-"
    assert {name: row["changed"] for name, row in rows.items()} == {"a": {}, "b": {"train.epochs": "2.0"}, "c": {}}
    monkeypatch.chdir(tmp_path)  # short names: a long one would break the other columns' lines
    shown = " ".join(invoke("runs", "list", ".").stdout.split())
    assert "finished 2023-11-" in shown and " 90 s " in shown and "train.epochs: 2.0" in shown
    assert "interrupted, step 0" in shown
    shown = " ".join(invoke("runs", "show", tmp_path / "a").stdout.split())
    assert "duration 90 s" in shown and "peak memory 512 MB" in shown


def test_two_names_of_one_file_count_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100))
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").symlink_to("a")
    assert bytes_of(tmp_path) == 100 + len("a")


def test_what_only_begins_like_a_checkpoint_is_the_users(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for name in ("checkpoints/step-00000002-backup", "checkpoints/step-00000002.zip", "soup/step-00000002"):
        (tmp_path / name).mkdir(parents=True)
    assert needed_to_resume(run) == []
    forget_training(run)
    assert (tmp_path / "checkpoints/step-00000002-backup").is_dir()


def test_only_checkpoints_and_candidates_are_needed_to_resume(tmp_path: Path) -> None:
    run = with_checkpoints(made(tmp_path / "run"))
    (run.checkpoints / "notes.txt").write_text("mine")
    run.model.mkdir()
    assert [path.name for path in needed_to_resume(run)] == [
        ".step-00000004.x.tmp",
        "step-00000002",
        "step-00000002.safetensors",
    ]
    forget_training(run)
    assert {path.name for path in run.folder.iterdir()} - {"meta.json"} == {
        ".lock",
        "recipe.yaml",
        "model",
        "checkpoints",
    }
    assert [path.name for path in run.checkpoints.iterdir()] == ["notes.txt"]


def test_nothing_behind_a_link_is_removed(tmp_path: Path) -> None:
    elsewhere = with_checkpoints(made(tmp_path / "other"))
    run = made(tmp_path / "run")
    run.checkpoints.symlink_to(elsewhere.checkpoints)
    assert needed_to_resume(run) == []
    forget_training(run)
    assert (elsewhere.checkpoints / "step-00000002").is_dir()


def test_clean_shows_what_it_would_free_and_frees_what_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done, broken = finished(with_checkpoints(made(Path("runs/done")))), with_checkpoints(made(Path("runs/broken")))
    fold = finished(with_checkpoints(made(broken.fold(1).folder)))
    shown = invoke("runs", "clean").stdout
    assert "kept for --resume, unless it is named" in shown and "give --yes to do it" in shown
    assert json.loads(invoke("runs", "clean", "--json").stdout)["bytes"] == 6000
    assert done.checkpoints.is_dir()
    answer = json.loads(invoke("runs", "clean", "--yes", "--json").stdout)
    assert {row["run"]: row["removed"] for row in answer["runs"]} == {
        "runs/broken": False,
        "runs/broken/fold-1": True,
        "runs/done": True,
    }
    assert [run.checkpoints.exists() for run in (done, broken, fold)] == [False, True, False]
    assert "then --resume begins again" in invoke("runs", "clean", "runs/broken").stdout
    assert "removed 3.0 kB" in invoke("runs", "clean", "runs/broken", "--yes").stdout
    assert not broken.checkpoints.exists() and not broken.soup.exists()
    assert "nothing to remove" in invoke("runs", "clean", "--yes").stdout


def test_an_interrupted_run_is_not_cleaned_by_the_name_of_the_folder_of_all_runs(tmp_path: Path) -> None:
    done, broken = finished(with_checkpoints(made(tmp_path / "done"))), with_checkpoints(made(tmp_path / "broken"))
    assert "kept for --resume, unless it is named" in invoke("runs", "clean", tmp_path, "--yes").stdout
    assert [run.checkpoints.exists() for run in (done, broken)] == [False, True]


def test_clean_leaves_a_run_alone_in_which_somebody_trains(tmp_path: Path) -> None:
    run = with_checkpoints(made(tmp_path / "run"))
    with alone_in(run):
        assert "somebody is training" in invoke("runs", "clean", run.folder, "--yes").stdout
    assert (run.checkpoints / "step-00000002").is_dir()


def test_clean_knows_only_runs(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("of another tool")
    (tmp_path / "checkpoints" / "step-00000002").mkdir(parents=True)
    result = invoke("runs", "clean", tmp_path, "--yes")
    assert result.exit_code == 2
    assert "there is no run in" in str(result.exception)
    assert (tmp_path / "checkpoints" / "step-00000002").is_dir()


def test_a_folder_that_is_not_there_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("runs", "list").exit_code == 0
    missing = invoke("runs", "list", "run")
    assert (missing.exit_code, str(missing.exception)) == (2, "there is no folder run")
