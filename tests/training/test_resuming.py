"""Going back to a checkpoint: what fails in one process ends the others, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from tiny_model import tiny_model

from qakit.distributed import ALONE, Workers
from qakit.errors import QakitError, RunError
from qakit.recipe.model import TrainSection
from qakit.runs import Run
from qakit.training.checkpoints import Progress, Resuming
from qakit.training.events import CheckpointWritten, Event, Preparing
from qakit.training.journal import Journal
from qakit.training.optim import build_optimiser


def resuming(folder: Path, heard: list[Event], digest: str = "x", frozen: Mapping[str, Any] | None = None) -> Resuming:
    run = Run(folder)
    return Resuming(run, digest, 1, Accelerator(cpu=True), ALONE, Journal(run), heard.append, frozen)


def test_it_goes_back_to_the_checkpoint_and_cuts_the_journal_there(tmp_path: Path) -> None:
    model, heard = tiny_model(), list[Event]()
    optimiser = build_optimiser(model, TrainSection())
    own = resuming(tmp_path, heard)
    own.journal.metrics(type="train", step=1)
    own.save(Progress(step=1, best=3.0), model, optimiser)
    own.journal.metrics(type="train", step=2)
    progress = own.restore(model, optimiser, resume=True)
    assert (progress.step, progress.best) == (1, 3.0)
    assert [line["step"] for line in own.run.metrics()] == [1]
    assert [type(event) for event in heard] == [CheckpointWritten, Preparing]
    assert own.restore(model, optimiser, resume=False) == Progress()
    assert list(own.run.metrics()) == []


def test_without_a_checkpoint_it_says_that_it_begins_anew(tmp_path: Path) -> None:
    model, heard = tiny_model(), list[Event]()
    assert resuming(tmp_path, heard).restore(model, build_optimiser(model, TrainSection()), resume=True) == Progress()
    assert heard == [Preparing("there is no whole checkpoint: starting from the beginning")]


@pytest.mark.parametrize("fault", ["another training", "the journal"])
def test_the_other_processes_are_told_of_what_fails(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(Workers, "_all_well", lambda _, well: told.append(well) or well)
    model = tiny_model()
    optimiser = build_optimiser(model, TrainSection())
    resuming(tmp_path, []).save(Progress(step=1), model, optimiser)
    if fault == "the journal":
        (tmp_path / "metrics.jsonl").mkdir()
    own = resuming(tmp_path, [], digest="y" if fault == "another training" else "x")
    with pytest.raises(QakitError):
        own.restore(model, optimiser, resume=True)
    assert told[-1] is False


def test_frozen_weights_must_be_those_of_the_checkpoint(tmp_path: Path) -> None:
    model, base = tiny_model(), {"source": "base", "sha256": {"model.safetensors": "1"}}
    optimiser = build_optimiser(model, TrainSection())
    resuming(tmp_path, [], frozen=base).save(Progress(step=1), model, optimiser)
    other = base | {"sha256": {"model.safetensors": "2"}}
    with pytest.raises(RunError, match="step-00000001 was trained over other weights of the backbone 'base'"):
        resuming(tmp_path, [], frozen=other).restore(model, optimiser, resume=True)
    for same in (base, None):
        assert resuming(tmp_path, [], frozen=same).restore(model, optimiser, resume=True).step == 1
    resuming(tmp_path, []).save(Progress(step=2), model, optimiser)  # as of a version that did not note it
    assert resuming(tmp_path, [], frozen=base).restore(model, optimiser, resume=True).step == 2
