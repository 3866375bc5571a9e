"""The folder of an ensemble that trains its members: what is kept of the recipe, and which others may go on in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qakit.ensembling.trained import TrainedEnsemble, check_same_ensemble, create_trained, reload_trained
from qakit.study.members import plan_members
from qakit.workflows.members import ensemble_into, read_ensemble

from qakit.ensembling.load import load_ensemble
from qakit.errors import RunError
from qakit.registry import load_registry
from qakit.training.events import silence

RECIPE = {
    "data": {"reader": "squad", "train": "data.json", "validation": "data.json"},
    "backbone": {"source": "nothing"},
    "predict": {"character_scores": True},
}
ENSEMBLE = {
    "members": ["ready"],
    "train": {"recipe": "base.yaml", "grid": {"train.learning_rate": [1e-3, 2e-3]}},
    "method": {"name": "char_average", "floor": 1e-5},
    "weights": [1, 2, 1],
    "seed": 4,
}


def loaded(folder: Path, recipe: dict[str, Any] = RECIPE, **changed: Any) -> TrainedEnsemble:
    """The ensemble recipe with some values changed; ``name`` and ``description`` are its own."""
    top = {key: changed.pop(key) for key in ("name", "description") if key in changed}
    for path in (folder / "ready", folder / "other"):
        path.mkdir(exist_ok=True)
    (folder / "base.yaml").write_text(json.dumps(recipe), "utf-8")
    file = folder / "whole.yaml"
    file.write_text(json.dumps({**top, "ensemble": ENSEMBLE | changed}), "utf-8")
    registry = load_registry()
    plan = load_ensemble(file, registry)
    return TrainedEnsemble(plan, plan_members(plan, file, registry))


def test_what_is_kept_is_what_was_said(tmp_path: Path) -> None:
    given = loaded(tmp_path, name="whole", description="Three")
    kept = reload_trained(create_trained(given, tmp_path / "run"))
    assert kept.members == given.members
    assert kept.plan == replace(given.plan, train=None, block=None)
    check_same_ensemble(kept, given, folder=tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "nbest"}, "was begun with method: {name: char_average, "),
        ({"method": {"name": "char_average", "floor": 1e-4}}, "now says method: {name: char_average, "),
        ({"weights": [1, 1, 1]}, "was begun with weights: [1.0, 2.0, 1.0], but the recipe now says weights: [1.0, 1.0"),
        ({"weights": "equal"}, "now says weights: equal; choose another --output, or remove it"),
        ({"weights": "learn"}, "now says weights: learn"),
        ({"seed": 5}, "was begun with seed: 4, but the recipe now says seed: 5"),
        ({"members": ["other"]}, "was begun with members: "),
        ({"members": ["ready", "other"], "weights": "equal"}, "was begun with members: "),
        ({"train": {"recipe": "base.yaml", "grid": {"train.learning_rate": [2e-3, 1e-3]}}}, "from other recipes"),
        ({"train": ENSEMBLE["train"] | {"set": {"train.epochs": 9}}}, "was trained from other recipes"),  # type: ignore[operator]
        ({"train": ENSEMBLE["train"] | {"seeds": [1]}}, "was trained from other recipes"),  # type: ignore[operator]
    ],
)
def test_another_recipe_does_not_go_on(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    run = create_trained(loaded(tmp_path), tmp_path / "run")
    kept = (run.folder / "members.json").read_bytes()
    given = loaded(tmp_path, **changed)
    with pytest.raises(RunError) as caught:
        check_same_ensemble(reload_trained(run), given, folder=run.folder)
    assert message in str(caught.value)
    with pytest.raises(RunError):
        ensemble_into(given, run.folder, load_registry(), listener=silence)
    assert (run.folder / "members.json").read_bytes() == kept
    assert not (run.folder / "members").exists()


def test_names_and_baselines_may_change(tmp_path: Path) -> None:
    kept = reload_trained(create_trained(loaded(tmp_path, name="before"), tmp_path / "run"))
    other = RECIPE | {"name": "now", "description": "Now", "baselines": {"strong": 80}}
    check_same_ensemble(kept, loaded(tmp_path, other, name="after", description="After"), folder=tmp_path)


def test_an_ensemble_of_ready_runs_has_nothing_to_train(tmp_path: Path) -> None:
    loaded(tmp_path)
    file = tmp_path / "ready.yaml"
    file.write_text("ensemble: {members: [ready, other]}\n", "utf-8")
    assert read_ensemble(file, [], load_registry()).members == ()
