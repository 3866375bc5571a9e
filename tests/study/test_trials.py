"""What a study trains, how often, and what it remembers; the training is a small script."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from study import fake_training
from study.conftest import Faked

from qakit.errors import QakitError, RunError, UsageError
from qakit.files import write_text
from qakit.registry import Registry
from qakit.study.load import load_study
from qakit.study.search import open_search
from qakit.study.trials import noted_trials
from qakit.training.events import NodeProgress, NodesWaiting
from qakit.training.interrupts import InterruptedTrainingError, StopRequest

Write = Callable[..., Path]
Drive = Any

GRID = "recipe: base.yaml\ngrid: {train.batch_size: [8, 13, 16]}\nseeds: [0, 1]\n"
SEARCH = """\
recipe: base.yaml
search:
  trials: 11
  seed: 5
  space:
    train.learning_rate: {log: [1e-6, 1e-2]}
    adapter: {choice: [{name: lora, rank: 8}, bitfit]}
"""


def drawn(records: list[Any]) -> list[dict[str, str]]:
    """The values of trials."""
    return [dict(record.trial.values) for record in records]


def edit(file: Path, before: str, after: str) -> None:
    """Another value in a file."""
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after), "utf-8")


def test_a_grid_is_trained_once_and_a_failure_stops_nothing(write: Write, drive: Drive) -> None:
    file = write(GRID)
    records = drive(file, jobs=2)
    assert [record.trial.run for record in records] == [
        f"batch_size{size}-s{seed}" for size in (8, 13, 16) for seed in (0, 1)
    ]
    assert [record.state for record in records] == ["finished"] * 2 + ["failed"] * 2 + ["finished"] * 2
    assert records[2].error == "thirteen & more is not allowed\n(exit code 2)"
    assert records[1].value == pytest.approx(91)
    assert records[1].result["figures"] == {"f1": 91, "exact_match": 45.5}
    assert (records[1].result["seconds"], records[1].result["peak_memory_mb"]) == (191, 500)
    assert (records[1].result["trainable"], records[1].result["total"]) == (22_000_000, 22_000_000)
    once = dict.fromkeys((record.trial.run for record in records), 1)
    assert drive.starts() == once
    assert drive.ends()[:2] == ["NodeStarted"] * 2 and sorted(drive.ends()) == ["NodeEnded"] * 6 + ["NodeStarted"] * 6

    drive.events.clear()
    assert drive(file) == records
    assert drive.ends() == []
    assert drive.starts() == once


def test_a_failed_trial_is_trained_again_only_when_asked_to(write: Write, drive: Drive) -> None:
    file = write(GRID)
    records = drive(file)
    assert drive(file) == drive(file, retry_failed=True) == records
    assert drive.starts() == {record.trial.run: 2 if record.state == "failed" else 1 for record in records}


def test_more_values_are_trained_and_those_that_are_gone_are_left_out(write: Write, drive: Drive) -> None:
    drive(write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4]}\n"))
    records = drive(write("recipe: base.yaml\ngrid: {train.batch_size: [4, 8]}\n"))
    assert [record.trial.run for record in records] == ["batch_size4", "batch_size8"]
    assert drive.starts() == {"batch_size2": 1, "batch_size4": 1, "batch_size8": 1}


@pytest.mark.parametrize("kind", ["grid: {train.batch_size: [2]}", SEARCH.partition("\n")[2]])
def test_trials_of_another_recipe_are_not_mixed_in(write: Write, drive: Drive, tmp_path: Path, kind: str) -> None:
    file = write(f"recipe: base.yaml\n{kind}\n")
    before = drive(file)
    edit(tmp_path / "base.yaml", "data:", "windows: {max_length: 99}\ndata:")
    with pytest.raises(RunError, match=r"was begun with windows.max_length: 384, but the recipe now says ") as caught:
        drive(file)
    assert "windows.max_length: 99; choose another --output, or remove it" in str(caught.value)
    assert set(drive.starts().values()) == {1} and len(drive.starts()) == len(before)


def test_a_mended_recipe_is_taken_where_nothing_is_trained_yet(write: Write, drive: Drive, tmp_path: Path) -> None:
    file = write("recipe: base.yaml\nset: {train.batch_size: 13}\ngrid: {train.epochs: [1, 2]}\n")
    assert {record.state for record in drive(file)} == {"failed"}
    edit(file, "13", "12")
    records = drive(file)
    assert {record.state for record in records} == {"finished"}, "the failure was another recipe's"
    assert drive.starts() == {"epochs1": 2, "epochs2": 2}
    assert "batch_size: 12" in (drive.folder.runs / "epochs1" / "recipe.yaml").read_text("utf-8")


def test_names_and_baselines_may_change_under_a_study(write: Write, drive: Drive, tmp_path: Path) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2]}\n")
    drive(file)
    base = tmp_path / "base.yaml"
    base.write_text(base.read_text("utf-8") + "description: Now with them\nbaselines: {strong: 80}\n", "utf-8")
    drive(file)
    assert set(drive.starts().values()) == {1}


def test_a_folder_holds_one_study(write: Write, drive: Drive) -> None:
    drive(write("recipe: base.yaml\n"))
    with pytest.raises(UsageError, match="holds the study 'study'; name another --output"):
        drive(write("recipe: base.yaml\n", "other.yaml"))


def test_a_run_without_the_figure_is_a_failed_trial(write: Write, drive: Drive) -> None:
    (record,) = drive(write("recipe: base.yaml\nset: {train.select_by: f2}\n"))
    assert record.state == "failed" and "gives no figure 'f2' on the validation data" in record.error


def test_a_study_that_is_stopped_goes_on(write: Write, drive: Drive) -> None:
    file, stop = write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4, 8]}\n"), StopRequest()

    def stops(event: object) -> None:
        if getattr(event, "label", "") == "runs/batch_size4" and isinstance(event, NodeProgress):
            stop.signal = 15

    with pytest.raises(InterruptedTrainingError, match="stopped by SIGTERM"):
        drive(file, jobs=2, stop=stop, listener=stops)
    assert (drive.folder.runs / "batch_size4" / "checkpoint").read_text() == "15\n"
    assert [record.state for record in drive(file)] == ["finished"] * 3
    assert drive.starts() == {"batch_size2": 2, "batch_size4": 2, "batch_size8": 1}


def test_a_search_finds_and_is_the_same_again(write: Write, drive: Drive, registry: Registry, tmp_path: Path) -> None:
    records = drive(write(SEARCH))
    assert len(records) == 11 and {record.state for record in records} == {"finished"}
    best = max(records, key=lambda record: record.value or 0)
    assert best.value is not None and best.value > 87
    assert 1e-6 <= float(best.trial.values["train.learning_rate"]) <= 1e-2
    assert best.trial.row.startswith("learning_rate")
    assert [record.trial.run for record in records] == [
        f"{number:03d}-{record.trial.row}" for number, record in enumerate(records)
    ]

    again = type(drive)(registry, tmp_path / "again")
    interrupted = again(write(SEARCH.replace("trials: 11", "trials: 6")))
    assert drawn(interrupted) == drawn(records)[:6]
    assert drawn(again(write(SEARCH))) == drawn(records)
    assert set(again.starts().values()) == {1}

    another = SEARCH.replace("seed: 5", "seed: 6").replace("trials: 11", "trials: 1")
    other = type(drive)(registry, tmp_path / "other")(write(another))
    assert drawn(other) != drawn(records[:1])


def test_an_interrupted_search_goes_on_with_the_trial_that_it_had_begun(
    write: Write, drive: Drive, registry: Registry, tmp_path: Path
) -> None:
    text, stop = SEARCH.replace("trials: 11", "trials: 4"), StopRequest()

    def stops(event: object) -> None:
        if type(event).__name__ == "NodeStarted" and len(drive.starts()) == 2:
            stop.signal = 2

    with pytest.raises(InterruptedTrainingError, match="stopped by SIGINT"):
        drive(write(text), stop=stop, listener=stops)
    begun = sorted(path.name for path in drive.folder.runs.iterdir())
    records = drive(write(text))
    assert [record.state for record in records] == ["finished"] * 4
    assert begun == [record.trial.run for record in records][: len(begun)] and len(begun) == 3
    assert drawn(records) == drawn(type(drive)(registry, tmp_path / "other")(write(text)))


def test_a_failed_trial_of_a_search_keeps_its_values(write: Write, drive: Drive) -> None:
    text = "recipe: base.yaml\nsearch: {trials: 4, space: {train.batch_size: {choice: [8, 13]}}}\n"
    records = drive(write(text))
    states = [record.state for record in records]
    assert 0 < states.count("failed") < 4
    assert drive(write(text)) == drive(write(text), retry_failed=True) == records
    assert list(drive.starts().values()) == [2 if state == "failed" else 1 for state in states]
    healed = Faked(train=lambda run: finishes(run, 50.0))
    assert {record.state for record in drive(write(text), retry_failed=True, executor=healed)} == {"finished"}
    known = [trial.value for trial in open_search(load_study(write(text)), drive.folder).study.trials if trial.value]
    assert known.count(50.0) == states.count("failed") and len(known) == 4, "the sampler learns of them"
    more = write(text.replace("trials: 4", "trials: 6"))
    assert len(drive(more, retry_failed=True)) == 6


def finishes(run: Path, score: float) -> Iterator[None]:
    """A training without steps."""
    yield
    fake_training.write(run / "metrics.json", {"validation": {"f1": score}, "seconds": 7})


def test_a_search_of_trials_from_which_no_recipe_comes_ends(
    write: Write, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each end of a range is checked before; a plugin's own check may refuse what lies between."""
    from qakit.errors import RecipeError
    from qakit.recipe.issues import Issue
    from qakit.workflows import study

    def refuses(*_args: Any, **_options: Any) -> Any:
        raise RecipeError([Issue("base.yaml", 1, 1, "", "not this one")])

    monkeypatch.setattr(study, "trials_of", refuses)
    records = drive(write(SEARCH.replace("trials: 11", "trials: 3")))
    assert [record.state for record in records] == ["failed"] * 3
    assert "not this one" in records[0].error and drive.starts() == {}


def test_hopeless_trials_are_pruned(write: Write, drive: Drive) -> None:
    text = "recipe: base.yaml\nsearch: {trials: 9, pruner: median, space: {train.learning_rate: {log: [1e-9, 1e-1]}}}\n"
    records = drive(write(text), jobs=3)
    pruned = [record for record in records if record.state == "pruned"]
    finished = [record for record in records if record.state == "finished"]
    assert pruned and len(pruned) + len(finished) == 9
    for record in pruned:
        assert (drive.folder.runs / record.trial.run / "checkpoint").is_file()
        assert not (drive.folder.runs / record.trial.run / "metrics.json").exists()
    assert drive(write(text), jobs=3) == records, "what was given up stays given up"


def test_a_training_that_outlived_its_study_is_waited_for_and_taken(write: Write, drive: Drive) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4]}\n")
    drive(file)
    folder = drive.folder.runs / "batch_size4"
    (folder / "metrics.json").unlink()
    lock = FileLock(folder / ".lock")
    lock.acquire()

    def finished_meanwhile(event: object) -> None:
        drive.events.append(event)
        if isinstance(event, NodesWaiting):
            write_text(folder / "metrics.json", json.dumps({"validation": {"f1": 50.0}, "seconds": 7}))
            lock.release()

    drive.events.clear()
    _, after = drive(file, listener=finished_meanwhile)
    assert (after.state, after.value, after.result["seconds"]) == ("finished", 50, 7)
    assert drive.events == [NodesWaiting(("runs/batch_size4",))]
    assert drive.starts()["batch_size4"] == 1, "nothing was trained anew"


def test_a_trial_that_another_process_gives_up_is_trained_here(write: Write, drive: Drive) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4]}\n")
    drive(file)
    folder = drive.folder.runs / "batch_size4"
    (folder / "metrics.json").unlink()
    lock = FileLock(folder / ".lock")
    lock.acquire()
    records = drive(file, listener=lambda event: lock.release() if isinstance(event, NodesWaiting) else None)
    assert [record.state for record in records] == ["finished"] * 2
    assert drive.starts() == {"batch_size2": 1, "batch_size4": 2}


def test_a_trial_whose_folder_is_gone_is_trained_again(write: Write, drive: Drive) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4]}\n")
    records = drive(file)
    shutil.rmtree(drive.folder.runs / "batch_size2")
    assert drive(file) == records


def test_a_search_may_be_kept_in_another_file(write: Write, drive: Drive, tmp_path: Path) -> None:
    text = SEARCH.replace("trials: 11", "trials: 1")
    drive(write(f"{text}storage: ./kept.log\n"))
    assert (tmp_path / "kept.log").is_file() and not drive.folder.journal.exists()


def test_a_search_at_an_address(write: Write, drive: Drive, tmp_path: Path) -> None:
    text = SEARCH.replace("trials: 11", "trials: 2") + f"storage: sqlite:///{tmp_path}/kept.db\n"
    records = drive(write(text))
    assert (tmp_path / "kept.db").is_file()
    assert drive(write(text)) == records and set(drive.starts().values()) == {1}
    assert "kept.db" not in drive.folder.about_file.read_text("utf-8"), "an address may hold a password"


def test_half_a_line_of_a_search_is_as_if_it_was_never_written(write: Write, drive: Drive) -> None:
    text = SEARCH.replace("trials: 11", "trials: 3")
    records = drive(write(text))
    with drive.folder.journal.open("ab") as journal:
        journal.write(b'{"op_code":4,"work')
    assert drive(write(text)) == records
    assert len(drive(write(text.replace("trials: 3", "trials: 4")))) == 4


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("nonsense://x", "the study's storage does not work: Can't load"),
        ("./base.yaml/x.log", "cannot write "),
        ("./base.yaml", "storage: "),
    ],
)
def test_a_storage_that_does_not_work(write: Write, drive: Drive, storage: str, expected: str) -> None:
    with pytest.raises(QakitError) as caught:
        drive(write(f"{SEARCH}storage: {storage}\n"))
    assert str(caught.value).startswith(expected) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"one line\nno line end", b"no line", b"SQLite format 3\0\n\xff", b"{}\n{"])
def test_a_storage_that_is_another_file_is_left_as_it_is(
    write: Write, drive: Drive, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "notes").write_bytes(content)
    with pytest.raises(UsageError, match="notes is no journal of Optuna's: name a file that is not there yet"):
        drive(write(f"{SEARCH}storage: ./notes\n"))
    assert (tmp_path / "notes").read_bytes() == content


def test_a_study_is_not_begun_in_a_run_nor_behind_a_link(write: Write, drive: Drive, tmp_path: Path) -> None:
    drive.folder.path.mkdir()
    write_text(drive.folder.path / "recipe.yaml", "{}")
    with pytest.raises(UsageError, match="study holds a run: choose another --output"):
        drive(write(GRID))
    (drive.folder.path / "recipe.yaml").unlink()
    drive.folder.runs.symlink_to(tmp_path)
    with pytest.raises(RunError, match="runs is a link that leads out of"):
        drive(write(GRID))
    assert [path.name for path in drive.folder.path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    "change",
    [{"commands": 5}, {"file": "a" * 5000}, {"trials": {"a": {"task": "", "row": "", "values": {}, "seed": 0}}}],
)
def test_a_damaged_study_is_told(write: Write, drive: Drive, change: dict[str, Any]) -> None:
    drive(write("recipe: base.yaml\n"))
    about = json.loads(drive.folder.about_file.read_text("utf-8")) | change
    write_text(drive.folder.about_file, json.dumps(about).replace('"seed": 0', '"seed": 1e999'))
    with pytest.raises(RunError, match=r"study\.json is damaged"):
        noted_trials(drive.folder)


def test_a_storage_that_breaks_while_a_search_runs_is_told(write: Write, drive: Drive, tmp_path: Path) -> None:
    import sqlite3

    def breaks(run: Path) -> Iterator[None]:
        with sqlite3.connect(tmp_path / "kept.db") as database:
            database.execute("drop table trial_values")
            database.execute("drop table trials")
        yield from finishes(run, 1.0)

    with pytest.raises(RunError, match="the study's storage does not work: "):
        drive(write(f"{SEARCH}storage: sqlite:///{tmp_path}/kept.db\n"), executor=Faked(train=breaks))


def test_a_search_needs_optuna_and_a_grid_does_not(write: Write, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert [record.state for record in drive(write("recipe: base.yaml\n", "grid.yaml"))] == ["finished"]
    with pytest.raises(UsageError, match=r"searches need Optuna: pip install 'qakit\[study\]'"):
        type(drive)(drive.registry, drive.folder.path / "other")(write(SEARCH))
