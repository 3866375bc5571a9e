"""What a study runs, how often, and what it remembers; the training is a small script."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qakit.errors import QakitError, RunError, UsageError
from qakit.files import write_text
from qakit.registry import Registry
from qakit.study import ledger as ledger_module
from qakit.study.claim import claim
from qakit.study.events import Elsewhere, StudyStarted, TrialEnded
from qakit.study.folder import StudyFolder
from qakit.study.ledger import open_ledger
from qakit.study.load import load_study
from qakit.study.plan import plan
from qakit.study.runner import Timing

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


def test_a_grid_is_trained_once_and_a_failure_stops_nothing(write: Write, drive: Drive) -> None:
    file = write(GRID)
    records = drive(file, jobs=2)
    assert [record.run for record in records] == [
        f"{number:03d}-batch_size{size}-s{seed}"
        for number, (size, seed) in enumerate((size, seed) for size in (8, 13, 16) for seed in (0, 1))
    ]
    assert [record.state for record in records] == ["finished"] * 2 + ["failed"] * 2 + ["finished"] * 2
    assert records[2].error == "error: thirteen & more is not allowed\n(exit code 2)"
    assert records[1].value == pytest.approx(91)
    assert records[1].result["figures"] == {"f1": 91, "exact_match": 45.5}
    assert (records[1].result["seconds"], records[1].result["peak_memory_mb"]) == (191, 500)
    assert (records[1].result["trainable"], records[1].result["total"]) == (22_000_000, 22_000_000)
    once = dict.fromkeys((record.run for record in records), 1)
    assert drive.starts() == once
    log = (drive.folder.runs / "002-batch_size13-s0" / "study.log").read_text("utf-8")
    assert log.startswith("$ ") and "reading <data>" in log

    drive.events.clear()
    assert drive(file) == records
    assert drive.events == [StudyStarted(6, finished=4, failed=2, jobs=1)]
    assert drive.starts() == once


def test_a_failed_trial_is_trained_again_only_when_asked_to(write: Write, drive: Drive) -> None:
    file = write(GRID)
    drive(file)
    folder = drive.folder.runs / "003-batch_size13-s1"
    (folder / "recipe.yaml").write_text((folder / "recipe.yaml").read_text("utf-8") + "\n# mended\n", "utf-8")
    again = drive(file, retry_failed=True)
    assert [record.attempt for record in again] == [1, 1, 2, 2, 1, 1]
    assert [record.run for record in again][3] == folder.name
    assert {record.state for record in again if record.attempt == 2} == {"failed"}
    assert drive.starts()[folder.name] == 2
    assert drive.starts()["000-batch_size8-s0"] == 1


def test_more_values_are_trained_and_those_that_are_gone_are_left_out(write: Write, drive: Drive) -> None:
    drive(write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4]}\n"))
    records = drive(write("recipe: base.yaml\ngrid: {train.batch_size: [4, 8]}\n"))
    assert [record.run for record in records] == ["001-batch_size4", "002-batch_size8"]
    assert drive.starts() == {"000-batch_size2": 1, "001-batch_size4": 1, "002-batch_size8": 1}


def test_trials_of_another_recipe_are_not_mixed_in(write: Write, drive: Drive, tmp_path: Path) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2]}\n")
    drive(file)
    base = tmp_path / "base.yaml"
    base.write_text(base.read_text("utf-8").replace("1e-4", "1e-3"), "utf-8")
    with pytest.raises(
        RunError, match=r"was begun with train\.learning_rate: 0\.0001, but .*study\.yaml now means"
    ) as e:
        drive(file)
    assert "train.learning_rate: 0.001" in str(e.value) and "give the study another name" in str(e.value)


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


def test_several_trainings_share_the_cores(write: Write, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(12)), raising=False)
    drive(write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4, 8]}\n"), jobs=3)
    threads = {file.read_text().split()[1] for file in drive.folder.runs.glob("*/started")}
    assert threads == {"4"}


def test_a_search_finds_and_is_the_same_again(write: Write, drive: Drive, registry: Registry, tmp_path: Path) -> None:
    records = drive(write(SEARCH))
    assert len(records) == 11 and {record.state for record in records} == {"finished"}
    best = max(records, key=lambda record: record.value or 0)
    assert best.value is not None and best.value > 87
    assert 1e-6 <= best.params["train.learning_rate"] <= 1e-2
    assert best.label.startswith("learning_rate")

    again = type(drive)(registry, tmp_path / "again")
    interrupted = again(write(SEARCH.replace("trials: 11", "trials: 6")))
    assert [record.params for record in interrupted] == [record.params for record in records[:6]]
    assert [record.params for record in again(write(SEARCH))] == [record.params for record in records]
    assert set(again.starts().values()) == {1}

    another = SEARCH.replace("seed: 5", "seed: 6").replace("trials: 11", "trials: 1")
    (other,) = type(drive)(registry, tmp_path / "other")(write(another))
    assert other.params != records[0].params


def test_a_failed_trial_of_a_search_keeps_its_values(write: Write, drive: Drive) -> None:
    text = "recipe: base.yaml\nsearch: {trials: 4, space: {train.batch_size: {choice: [8, 13]}}}\n"
    records = drive(write(text))
    failed = [record for record in records if record.state == "failed"]
    assert failed and len(failed) < 4
    again = drive(write(text), retry_failed=True)
    assert [record.params for record in again] == [record.params for record in records]
    assert [record.attempt for record in again] == [2 if record.state == "failed" else 1 for record in records]


@pytest.mark.slow
def test_hopeless_trials_are_pruned(write: Write, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STEP_SECONDS", "0.25")
    text = "recipe: base.yaml\nsearch: {trials: 9, pruner: median, space: {train.learning_rate: {log: [1e-9, 1e-1]}}}\n"
    records = drive(write(text), jobs=3)
    pruned = [record for record in records if record.state == "pruned"]
    finished = [record.value for record in records if record.state == "finished"]
    assert pruned and len(pruned) + len(finished) == 9
    for record in pruned:
        assert record.value is not None and record.value < max(finished)
        assert (drive.folder.runs / record.run / "checkpoint").is_file()


def test_a_training_that_outlived_its_study_is_waited_for_and_taken(
    write: Write, drive: Drive, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2]}\n")
    loaded = load_study(file)
    (trial,) = plan(loaded, registry)
    ledger = open_ledger(loaded.name, None, StudyFolder(drive.folder.path), create=True)
    ledger.enqueue({**{name: getattr(trial, name) for name in ("key", "label", "task", "row", "seed")}, "values": {}})
    (record,) = ledger.records()
    folder = drive.folder.runs / record.run
    own = claim(folder)
    assert own is not None and ledger.claim(record, host="here", path=folder)

    def finished_meanwhile(event: object) -> None:
        drive.events.append(event)
        if isinstance(event, Elsewhere):
            write_text(folder / "metrics.json", json.dumps({"validation": {"f1": 50.0}, "seconds": 7}))
            own.release()

    (after,) = drive(file, listener=finished_meanwhile, host="here")
    assert (after.state, after.value, after.result["seconds"]) == ("finished", 50, 7)
    assert not (folder / "started").exists(), "nothing was trained anew"
    assert [type(event) for event in drive.events] == [StudyStarted, Elsewhere, TrialEnded]


def test_a_trial_on_a_machine_that_is_silent_is_taken_over(write: Write, drive: Drive, registry: Registry) -> None:
    file = write("recipe: base.yaml\n")
    loaded = load_study(file)
    (trial,) = plan(loaded, registry)
    ledger = open_ledger(loaded.name, None, StudyFolder(drive.folder.path), create=True)
    ledger.enqueue({**{name: getattr(trial, name) for name in ("key", "label", "task", "row", "seed")}, "values": {}})
    (record,) = ledger.records()
    assert ledger.claim(record, host="elsewhere", path=Path("/nowhere"))
    beats = []

    def beats_twice(event: object) -> None:
        if isinstance(event, Elsewhere) and not beats:
            beats.append(ledger.note(record.number, beat=7))

    (after,) = drive(file, listener=beats_twice, timing=Timing(poll=0.01, look=0.05, dead=0.4))
    assert beats and (after.state, after.attempt) == ("finished", 1)
    assert after.host != "elsewhere"


def test_a_trial_whose_process_died_as_it_claimed_it_is_trained(
    write: Write, drive: Drive, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("recipe: base.yaml\n")
    loaded = load_study(file)
    (trial,) = plan(loaded, registry)
    ledger = open_ledger(loaded.name, None, StudyFolder(drive.folder.path), create=True)
    ledger.enqueue({**{name: getattr(trial, name) for name in ("key", "label", "task", "row", "seed")}, "values": {}})
    (record,) = ledger.records()
    with monkeypatch.context() as patched:
        patched.setattr(type(ledger), "note", lambda *_args, **_attributes: None)
        assert ledger.claim(record, host="here", path=Path("/nowhere"))
    (after,) = drive(file)
    assert (after.state, drive.starts()) == ("finished", {record.run: 1})


def test_two_processes_that_enqueue_at_once_make_one_trial(write: Write, drive: Drive, registry: Registry) -> None:
    file = write("recipe: base.yaml\n")
    loaded = load_study(file)
    (trial,) = plan(loaded, registry)
    ledger = open_ledger(loaded.name, None, StudyFolder(drive.folder.path), create=True)
    about = {**{name: getattr(trial, name) for name in ("key", "label", "task", "row", "seed")}, "values": {}}
    for _ in range(2):
        ledger.enqueue(about)
    (record,) = drive(file)
    assert (record.number, record.state) == (0, "finished")
    for _ in range(2):
        ledger.enqueue(about, attempt=2)
    (record,) = ledger.records()
    assert (record.number, record.first) == (2, 0)
    assert drive.starts() == {record.run: 1}


def test_a_folder_is_claimed_by_one(tmp_path: Path) -> None:
    first = claim(tmp_path / "run")
    assert first is not None and claim(tmp_path / "run") is None
    first.release()
    second = claim(tmp_path / "run")
    assert second is not None
    second.release()


def test_storage_may_be_an_address_or_a_file(write: Write, drive: Drive, tmp_path: Path) -> None:
    drive(write("recipe: base.yaml\nstorage: ./kept/trials.db\n"))
    assert (tmp_path / "kept" / "trials.db").is_file() and not drive.folder.database.exists()
    ledger = open_ledger("study", f"sqlite:///{tmp_path}/kept/trials.db", drive.folder, create=False)
    assert [record.state for record in ledger.records()] == ["finished"]
    assert "kept" not in drive.folder.about_file.read_text("utf-8"), "an address may hold a password"


@pytest.mark.parametrize(
    ("storage", "expected"),
    [("nonsense://x", "the study's storage does not work: Can't load"), ("./base.yaml/x.db", "cannot write ")],
)
def test_a_storage_that_does_not_work(write: Write, drive: Drive, storage: str, expected: str) -> None:
    with pytest.raises(QakitError) as caught:
        drive(write(f"recipe: base.yaml\nstorage: {storage}\n"))
    assert str(caught.value).startswith(expected) and "\n" not in str(caught.value)


def test_without_optuna_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"studies need Optuna: pip install 'qakit\[study\]'"):
        ledger_module.import_optuna()


@pytest.mark.parametrize(
    "change",
    [
        {"label": 3},
        {"label": "../out"},
        {"key": ["x"]},
        {"attempt": "1"},
        {"attempt": True},
        {"values": []},
        {"seed": None},
        {"result": "good"},
        {"host": 7},
        {"path": ["/etc"]},
        {"beat": None},
        {"seconds_before": "long"},
    ],
    ids=str,
)
def test_notes_that_somebody_has_changed_are_told(drive: Drive, change: dict[str, Any]) -> None:
    ledger = open_ledger("study", None, drive.folder, create=True)
    about = {"key": "k", "label": "a", "task": "t", "row": "r", "values": {}, "seed": 1}
    ledger.enqueue(about | {name: value for name, value in change.items() if name != "attempt"})
    if "attempt" in change:
        ledger.storage.set_trial_user_attr(ledger._id(0), "attempt", change["attempt"])
    with pytest.raises(RunError, match=r"the study's storage is damaged: (the )?\w+ of trial 0"):
        ledger.records()
