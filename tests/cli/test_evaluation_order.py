"""An evaluation that breaks off costs no step: its checkpoint lies before it, and it is done first on resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from qakit.errors import OutputError
from qakit.recipe.load import load_recipe
from qakit.registry import load_registry
from qakit.runs import create_run, open_run
from qakit.training.events import CheckpointWritten, Evaluated, Event, StepDone
from qakit.training.fit import fit
from qakit.training.launch import accelerator_for
from qakit.training.prepare import prepare_training

pytestmark = pytest.mark.slow

CHANGES = (
    "train.epochs=1",
    "train.evaluate_before=false",
    "train.log_every=4",
    "train.evaluate_every=2",
    "train.early_stopping=3",
    "train.soup={candidates: 2}",
    "train.ema={decay: 0.5}",
    "preprocess.train=random_window",
)
"""Six steps, judged after 2, 4 and 6, with all that an evaluation changes."""
COMPARED = ("metrics.jsonl", "model/model.safetensors", "model/decision.json", "predictions/validation/nbest.jsonl")


class BrokenError(Exception):
    """What a metric raises that does not work."""


def train(recipe_file: Path, folder: Path, *changes: str) -> list[Event]:
    """Begin, or continue; what was said meanwhile."""
    registry, heard = load_registry(), list[Event]()
    resume = folder.exists()
    if resume:
        run = open_run(folder)
        recipe = run.recipe()
    else:
        recipe = load_recipe(recipe_file, [*CHANGES, *changes], registry=registry).recipe
        run = create_run(recipe, folder)
    accelerator = accelerator_for(recipe)
    prepared = prepare_training(recipe, registry, device=accelerator.device, listener=heard.append)
    fit(prepared, run, registry, accelerator=accelerator, resume=resume, listener=heard.append)
    return heard


def raises_at(number: int, work: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """``work``, whose call of this number (from 1) fails before it has done anything."""
    calls = iter(range(1, 1000))

    def broken(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise error
        return work(*arguments, **options)

    return broken


def state(folder: Path, step: int) -> dict[str, Any]:
    return json.loads((folder / "checkpoints" / f"step-{step:08d}" / "state.json").read_text("utf-8"))["progress"]


@pytest.fixture(scope="module")
def whole(small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """Never broken off."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, train(small_recipe, folder)


def test_each_evaluation_has_its_checkpoint_and_weights_are_written_once(whole: tuple[Path, list[Event]]) -> None:
    folder, heard = whole
    told = [(type(event), event.step) for event in heard if isinstance(event, CheckpointWritten | Evaluated)]
    assert told == [(kind, step) for step in (2, 4, 6) for kind in (CheckpointWritten, Evaluated)]
    assert [state(folder, step)["to_evaluate"] for step in (4, 6)] == [False, False]
    assert state(folder, 6)["evaluations"] == 3
    assert state(folder, 6)["metrics_bytes"] == (folder / "metrics.jsonl").stat().st_size


@pytest.mark.parametrize(
    ("place", "number", "step", "error"),
    [
        ("qakit.training.evaluator.evaluate", 2, 4, BrokenError()),
        ("qakit.training.keeper.save_model", 1, 2, OutputError("cannot write model: No space left on device")),
        ("qakit.training.keeper.keep_candidate", 2, 4, OutputError("cannot write soup: No space left on device")),
        ("qakit.training.keeper.RunKeeper.combine_kept", 1, 6, KeyboardInterrupt()),
        ("qakit.training.checkpoints.update_progress", 2, 4, KeyboardInterrupt()),
        ("qakit.training.checkpoints.update_progress", 3, 6, OutputError("cannot write state.json: No space left")),
    ],
)
def test_it_goes_on_with_the_evaluation_and_ends_like_one_that_nobody_disturbed(
    whole: tuple[Path, list[Event]],
    small_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    number: int,
    step: int,
    error: BaseException,
) -> None:
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(place, raises_at(number, resolve_name(place), error))
        train(small_recipe, tmp_path / "run")
    assert state(tmp_path / "run", step)["to_evaluate"]
    heard = train(small_recipe, tmp_path / "run")
    told = [(type(event), event.step) for event in heard if isinstance(event, StepDone | Evaluated | CheckpointWritten)]
    assert told[0] == (Evaluated, step)
    assert [each for kind, each in told if kind is StepDone] == list(range(step + 1, 7))
    for name in COMPARED:
        assert (tmp_path / "run" / name).read_bytes() == (whole[0] / name).read_bytes(), name


def test_without_an_evaluation_there_are_no_more_checkpoints_than_the_recipe_asks_for(
    small_recipe: Path, tmp_path: Path
) -> None:
    heard = train(small_recipe, tmp_path / "run", "train.evaluate_every=100", "train.checkpoint_every=4")
    assert [event.step for event in heard if isinstance(event, CheckpointWritten)] == [4, 6]
