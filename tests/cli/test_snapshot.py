"""What is read beside a training is of one state of its files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from qakit.errors import RunError
from qakit.files import replace_folder
from qakit.inference.trained import TrainedRun
from qakit.runs.opening import TRIES, read_in_one_state


def put(folder: Path, version: int) -> None:
    with replace_folder(folder) as fresh:
        for name in ("weights", "decision"):
            (fresh / name).write_text(str(version), "utf-8")


def test_files_that_are_replaced_while_they_are_read_are_read_again(tmp_path: Path) -> None:
    model = tmp_path / "model"
    put(model, 1)
    reads = 0

    def read() -> tuple[str, str]:
        nonlocal reads
        reads += 1
        weights = (model / "weights").read_text("utf-8")
        if reads == 1:
            put(model, 2)
        if reads == 2:  # also in place, as by a copy over the network
            (model / "weights").write_text("3 ", "utf-8")
            (model / "decision").write_text("3 ", "utf-8")
        return weights, (model / "decision").read_text("utf-8")

    assert read_in_one_state(read, model) == ("3 ", "3 ")
    assert reads == 3


def test_an_error_counts_only_where_nothing_has_changed(tmp_path: Path) -> None:
    model = tmp_path / "model"
    reads = 0

    def read() -> str:
        nonlocal reads
        reads += 1
        if reads == 1:
            put(model, 1)
            raise RunError("there was nothing yet")
        return (model / "weights").read_text("utf-8")

    assert read_in_one_state(read, model) == "1"

    def broken() -> str:
        raise RunError("it is broken")

    with pytest.raises(RunError, match="it is broken"):
        read_in_one_state(broken, model)
    with pytest.raises(FileNotFoundError):
        read_in_one_state((tmp_path / "missing").read_text, tmp_path / "missing")


def test_a_training_that_never_rests_is_told(tmp_path: Path) -> None:
    versions: list[int] = []

    def read() -> None:
        versions.append(len(versions))
        put(tmp_path / "model", len(versions))

    with pytest.raises(RunError, match="is replaced again and again while it is read: a training is at work there"):
        read_in_one_state(read, tmp_path / "model")
    assert len(versions) == TRIES


def test_weights_and_threshold_of_a_loaded_run_are_of_one_evaluation(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    from qakit.inference import trained

    load, loads = trained.load_model, 0

    def load_and_replace(*arguments: object, **options: object) -> object:
        """Right after the weights are read, the training keeps better ones with another temperature."""
        nonlocal loads
        loads += 1
        loaded = load(*arguments, **options)  # type: ignore[arg-type]
        if loads == 1:
            decision = json.loads((run / "model" / "decision.json").read_text("utf-8")) | {"temperature": 7.5}
            with replace_folder(run / "model") as fresh:
                shutil.copytree(small_run / "model", fresh, dirs_exist_ok=True, copy_function=os.link)
                (fresh / "decision.json").unlink()
                (fresh / "decision.json").write_text(json.dumps(decision), "utf-8")
        return loaded

    monkeypatch.setattr(trained, "load_model", load_and_replace)
    assert TrainedRun.load(run).temperature == 7.5
    assert loads == 2
