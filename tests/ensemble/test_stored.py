"""An ensemble's folder read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ensemble.made_up import questions, write_questions, write_run

from qakit.ensembling.combine import combine
from qakit.ensembling.folder import StoredEnsemble, open_stored, write_ensemble
from qakit.ensembling.load import EnsemblePlan
from qakit.errors import RunError
from qakit.registry import load_registry

COUNT = 12
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An ensemble of two runs whose models are empty folders."""
    examples = questions(COUNT)
    write_questions(tmp_path / "data.json", examples)
    runs = [
        write_run(tmp_path / name, tmp_path / "data.json", examples, [n % 3 != number for n in range(COUNT)])
        for number, name in enumerate(("one", "two"))
    ]
    for run in runs:
        (run / "model").mkdir()
    plan = EnsemblePlan("mine", tuple(runs), "char_average", {"mean": "probability"}, "learn")
    made = combine(plan, load_registry(), want_test=True, say=lambda _: None)
    write_ensemble(made, tmp_path / "whole", load_registry())
    return tmp_path / "whole"


def opened(folder: Path) -> StoredEnsemble:
    return open_stored(folder, load_registry())


def test_it_has_what_was_decided(folder: Path) -> None:
    stored, written = opened(folder), json.loads((folder / "ensemble.json").read_text("utf-8"))
    assert stored.members == (folder.parent / "one", folder.parent / "two")
    assert stored.decision.weights == tuple(each["weight"] for each in written["members"])
    assert stored.decision.temperatures == tuple(each["temperature"] for each in written["members"])
    assert stored.decision.null_threshold == written["null_threshold"]
    assert (stored.method.name, stored.method.reads_characters) == ("char_average", True)
    assert stored.changed_members() == []


def test_a_member_that_predicts_otherwise_now_is_found(folder: Path) -> None:
    with (folder.parent / "two" / "predictions" / "nbest.jsonl").open("a") as file:
        file.write("\n")
    assert opened(folder).changed_members() == [folder.parent / "two"]


def changed(key: str, value: Any) -> Change:
    return lambda written: written | {key: value}


def each_member(key: str, value: Any) -> Change:
    return lambda written: written | {"members": [{**each, key: value} for each in written["members"]]}


@pytest.mark.parametrize(
    "change",
    [
        changed("null_threshold", "high"),
        changed("method", "nbest"),
        changed("test", []),
        changed("members", 3),
        changed("members", []),
        each_member("weight", -1.0),
        each_member("temperature", 0.0),
        each_member("temperature", None),
    ],
)
def test_a_damaged_file_is_named(change: Change, folder: Path) -> None:
    file = folder / "ensemble.json"
    file.write_text(json.dumps(change(json.loads(file.read_text("utf-8")))), "utf-8")
    with pytest.raises(RunError, match=r"ensemble\.json is damaged"):
        opened(folder)
