"""Checkpoints: whole or not at all, and exactly what was saved."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from qakit.errors import RunError
from qakit.modeling.model import ReadingModel
from qakit.protocols import ParameterRule
from qakit.recipe.model import TrainSection
from qakit.training import checkpoints
from qakit.training.checkpoints import (
    STATE,
    Progress,
    _state_text,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
    update_progress,
)
from qakit.training.optim import build_optimiser, parameter_groups


def small_model(seed: int) -> ReadingModel:
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.BatchNorm1d(4))
    return ReadingModel(backbone, nn.Linear(4, 2))


def take_steps(model: ReadingModel, optimiser: torch.optim.Optimizer, count: int, seed: int) -> None:
    torch.manual_seed(seed)
    for _ in range(count):
        model.head(model.backbone(torch.randn(3, 4))).square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()


def save(root: Path, model: ReadingModel, optimiser: torch.optim.Optimizer, step: int, keep: int = 3) -> Path:
    return save_checkpoint(
        root, model=model, optimiser=optimiser, progress=Progress(step=step), scaler=None, recipe_hash="r", keep=keep
    )


def test_training_goes_on_exactly_where_it_was(tmp_path: Path) -> None:
    model = small_model(0)
    optimiser = build_optimiser(model, TrainSection())
    take_steps(model, optimiser, 3, seed=1)
    save(tmp_path, model, optimiser, 3)
    take_steps(model, optimiser, 2, seed=2)

    other = small_model(99)
    other_optimiser = build_optimiser(other, TrainSection())
    progress, scaler = load_checkpoint(
        tmp_path / "step-00000003", model=other, optimiser=other_optimiser, recipe_hash="r"
    )
    assert (progress, scaler) == (Progress(step=3), None)
    take_steps(other, other_optimiser, 2, seed=2)
    expected, found = model.state_dict(), other.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected if "num_batches" not in name)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    model = small_model(0)
    optimiser = build_optimiser(model, TrainSection())
    for step in (1, 2):
        take_steps(model, optimiser, 1, seed=step)
        save(tmp_path, model, optimiser, step)
    weights = tmp_path / "step-00000002" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    said: list[str] = []
    assert latest_checkpoint(tmp_path, warn=said.append) == tmp_path / "step-00000001"
    reason = "model.safetensors has changed since it was written"
    assert said == [f"{tmp_path / 'step-00000002'} is damaged ({reason}) and is skipped"]


def test_only_the_last_few_are_kept(tmp_path: Path) -> None:
    model = small_model(0)
    optimiser = build_optimiser(model, TrainSection())
    for step in range(1, 5):
        save(tmp_path, model, optimiser, step, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def test_nothing_but_checkpoints_is_given_up(tmp_path: Path) -> None:
    root, model = tmp_path / "checkpoints", small_model(0)
    optimiser = build_optimiser(model, TrainSection())
    for name in ("step-00000001-mine", "step-best", "step-00000009"):
        (root / name).mkdir(parents=True)
        (root / name / "notes.txt").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "state.json").write_text("{}")
    (root / "step-00000008").symlink_to(tmp_path / "elsewhere")
    before = sorted(path.name for path in root.iterdir())
    save(root, model, optimiser, 2, keep=1)
    save(root, model, optimiser, 3, keep=1)
    assert sorted(path.name for path in root.iterdir()) == sorted([*before, "step-00000003"])
    assert (tmp_path / "elsewhere" / "state.json").is_file()
    assert latest_checkpoint(root, warn=lambda text: None) == root / "step-00000003"


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    model = small_model(0)
    optimiser = build_optimiser(model, TrainSection())
    folder = save(tmp_path, model, optimiser, 1)
    with pytest.raises(RunError, match="was written by another recipe"):
        load_checkpoint(folder, model=model, optimiser=optimiser, recipe_hash="other")


def test_only_trainable_weights_are_saved_and_another_set_is_refused(tmp_path: Path) -> None:
    model = small_model(0)
    model.backbone[0].weight.requires_grad_(False)
    optimiser = build_optimiser(model, TrainSection())
    folder = save(tmp_path, model, optimiser, 1)
    with pytest.raises(RunError, match="holds other trainable parameters than this model"):
        load_checkpoint(folder, model=small_model(0), optimiser=optimiser, recipe_hash="r")


def test_without_any_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "checkpoints", warn=pytest.fail) is None


def test_matrices_decay_and_biases_and_norms_do_not() -> None:
    groups = parameter_groups(
        small_model(0), TrainSection(weight_decay=0.1, learning_rate=1e-4, head_learning_rate=1e-3)
    )
    described = {group["name"]: (group["names"], group["peak_rate"], group["weight_decay"]) for group in groups}
    assert described == {
        "backbone, decay": (["backbone.0.weight"], 1e-4, 0.1),
        "backbone, no decay": (
            ["backbone.0.bias", "backbone.1.weight", "backbone.1.bias", "backbone.2.weight", "backbone.2.bias"],
            1e-4,
            0.0,
        ),
        "head, decay": (["head.weight"], 1e-3, 0.1),
        "head, no decay": (["head.bias"], 1e-3, 0.0),
    }


def test_the_adapter_rules_the_backbones_parameters_and_the_head_its_own() -> None:
    """Under their names within it."""
    model, seen = small_model(0), dict[str, list[str]](adapter=[], head=[])

    def ruler(whose: str, rule: ParameterRule) -> Any:
        def parameter_rule(name: str) -> ParameterRule:
            seen[whose].append(name)
            return rule

        return parameter_rule

    model.head.parameter_rule = ruler("head", ParameterRule(decays=True))
    adapter = SimpleNamespace(parameter_rule=ruler("adapter", ParameterRule(decays=False, rate=3.0)))
    groups = parameter_groups(model, TrainSection(weight_decay=0.1, learning_rate=1e-4), adapter)
    assert seen == {"adapter": [name for name, _ in model.backbone.named_parameters()], "head": ["weight", "bias"]}
    assert [(group["name"], group["weight_decay"]) for group in groups] == [
        ("backbone, no decay, 3 x", 0.0),
        ("head, decay", 0.1),
    ]
    assert [group["peak_rate"] for group in groups] == pytest.approx([3e-4, 1e-4])


def test_a_damaged_checkpoint_of_a_later_step_does_not_push_out_new_ones(tmp_path: Path) -> None:
    model = small_model(0)
    optimiser = build_optimiser(model, TrainSection())
    save(tmp_path, model, optimiser, 8, keep=1)
    (tmp_path / "step-00000008" / "state.json").write_text("{")
    with pytest.raises(RunError, match=r"no checkpoint in .* is whole .*To begin again from the first step, remove"):
        latest_checkpoint(tmp_path, warn=lambda _: None)
    save(tmp_path, model, optimiser, 2, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_the_progress_alone_can_be_replaced(tmp_path: Path) -> None:
    model = small_model(0)
    optimiser = build_optimiser(model, TrainSection())
    folder = save(tmp_path, model, optimiser, 3)
    weights = folder / "model.safetensors"
    before = weights.stat().st_ino, weights.stat().st_mtime_ns
    later = Progress(step=3, epochs=0.75, best=12.5, evaluations=1, metrics_bytes=80)
    update_progress(tmp_path, later)
    assert latest_checkpoint(tmp_path, warn=pytest.fail) == folder
    assert load_checkpoint(folder, model=model, optimiser=optimiser, recipe_hash="r") == (later, None)
    assert (weights.stat().st_ino, weights.stat().st_mtime_ns) == before


def test_a_checkpoint_from_before_evaluations_came_last_is_read(tmp_path: Path) -> None:
    model = small_model(0)
    optimiser = build_optimiser(model, TrainSection())
    folder = save(tmp_path, model, optimiser, 3)
    state = json.loads((folder / STATE).read_text("utf-8"))
    del state["progress"]["epochs"], state["progress"]["to_evaluate"]
    (folder / STATE).write_text(_state_text(state), "utf-8")
    assert latest_checkpoint(tmp_path, warn=pytest.fail) == folder
    assert load_checkpoint(folder, model=model, optimiser=optimiser, recipe_hash="r")[0] == Progress(step=3)


def test_a_checkpoint_with_a_progress_of_another_version_is_left_out(tmp_path: Path) -> None:
    model = small_model(0)
    folder = save(tmp_path, model, build_optimiser(model, TrainSection()), 3)
    state = json.loads((folder / STATE).read_text("utf-8"))
    state["progress"]["later"] = 1
    (folder / STATE).write_text(_state_text(state), "utf-8")
    with pytest.raises(RunError, match=r"is whole .*unexpected keyword argument 'later'"):
        latest_checkpoint(tmp_path, warn=lambda _: None)


def test_checkpoints_of_a_recipe_whose_files_have_other_names_now_are_whole(tmp_path: Path) -> None:
    (tmp_path / "step-00000001").mkdir()
    file = tmp_path / "step-00000001" / checkpoints.STATE
    file.write_text(checkpoints._state_text({"recipe": "before", "progress": {"step": 1}}), "utf-8")
    checkpoints.of_recipe(tmp_path, "now")
    state = json.loads(file.read_text("utf-8"))
    assert (state["recipe"], state["progress"]) == ("now", {"step": 1})
    assert state["check"] == checkpoints._check(state)
