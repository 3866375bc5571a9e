"""AdamW with moments of 8 bits: what is the same as with the plain one, and what it keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn

from qakit.errors import UsageError
from qakit.modeling.model import ReadingModel
from qakit.recipe.model import Recipe, TrainSection
from qakit.registry import load_registry
from qakit.training import optim
from qakit.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from qakit.training.events import silence
from qakit.training.guards import StepGuard
from qakit.training.optim import build_optimiser, moments_size
from qakit.training.prepare import prepare_training
from qakit.training.sharding import check_launch

PLAIN = TrainSection(learning_rate=1e-2, weight_decay=0.1)
SMALL = TrainSection(optimizer="adamw_8bit", learning_rate=1e-2, weight_decay=0.1)
CPU = torch.device("cpu")


@pytest.fixture
def installed() -> None:
    pytest.importorskip("bitsandbytes", reason="the extra is not installed: pip install 'qakit[8bit]'")


def small_model(seed: int = 0) -> ReadingModel:
    """With two matrices that are large enough for 8 bits."""
    torch.manual_seed(seed)
    return ReadingModel(nn.Sequential(nn.Linear(64, 80), nn.LayerNorm(80), nn.Linear(80, 64)), nn.Linear(64, 2))


def take_steps(model: ReadingModel, optimiser: Any, *seeds: int) -> None:
    for seed in seeds:
        inputs = torch.randn(5, 64, generator=torch.Generator().manual_seed(seed))
        model.head(model.backbone(inputs)).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in model.named_parameters()}


@pytest.mark.usefixtures("installed")
def test_it_takes_about_the_steps_of_the_plain_one_with_the_same_groups() -> None:
    small, plain, before = small_model(), small_model(), weights_of(small_model())
    optimisers = build_optimiser(small, SMALL), build_optimiser(plain, PLAIN)
    decays = [[(group["names"], group["weight_decay"]) for group in each.param_groups] for each in optimisers]
    assert decays[0] == decays[1]
    assert {decay for _, decay in decays[0]} == {0.1, 0.0}
    take_steps(small, optimisers[0], *range(5))
    take_steps(plain, optimisers[1], *range(5))
    ours, theirs = weights_of(small), weights_of(plain)
    for name, weight in theirs.items():
        moved = (weight - before[name]).norm()
        assert (ours[name] - weight).norm() < 0.05 * moved, name
    assert not torch.equal(ours["backbone.0.weight"], theirs["backbone.0.weight"])


@pytest.mark.usefixtures("installed")
def test_a_step_that_is_not_finite_is_left_out() -> None:
    model = small_model()
    optimiser = build_optimiser(model, SMALL)
    take_steps(model, optimiser, 0)
    guard = StepGuard(optimiser, device=CPU, scaled=False)
    before = weights_of(model)
    moments = [value.clone() for state in optimiser.state.values() for key, value in state.items() if key != "step"]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    guard.judge(torch.tensor(1.0), torch.tensor(torch.nan))
    optimiser.step()
    optimiser.zero_grad()
    after = weights_of(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    kept = [value for state in optimiser.state.values() for key, value in state.items() if key != "step"]
    assert all(torch.equal(*pair) for pair in zip(moments, kept, strict=True))
    assert {state["step"] for state in optimiser.state.values()} == {1}
    guard.judge(torch.tensor(1.0), torch.tensor(1.0))
    take_steps(model, optimiser, 1)
    assert not torch.equal(before["head.weight"], weights_of(model)["head.weight"])


@pytest.mark.usefixtures("installed")
def test_training_goes_on_exactly_where_it_was(tmp_path: Path) -> None:
    model, other = small_model(), small_model(seed=9)
    optimiser = build_optimiser(model, SMALL)
    take_steps(model, optimiser, 0, 1, 2)
    folder = save_checkpoint(
        tmp_path, model=model, optimiser=optimiser, progress=Progress(step=3), scaler=None, recipe_hash="r", keep=1
    )
    take_steps(model, optimiser, 3, 4)
    resumed = build_optimiser(other, SMALL)
    load_checkpoint(folder, model=other, optimiser=resumed, recipe_hash="r")
    prepared = Accelerator(cpu=True).prepare(resumed)  # which passes the moments through a state_dict
    assert {state["step"] for state in resumed.state.values()} == {3}
    take_steps(other, prepared, 3, 4)
    expected, found = weights_of(model), weights_of(other)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.usefixtures("installed")
def test_what_the_moments_need_is_what_they_take() -> None:
    model = small_model()
    optimiser = build_optimiser(model, SMALL)
    take_steps(model, optimiser, 0)
    taken = sum(
        value.numel() * value.element_size()
        for state in optimiser.state.values()
        for key, value in state.items()
        if key.startswith(("state", "absmax"))
    )
    assert moments_size(model.parameters(), SMALL) == taken


def test_it_needs_a_quarter_and_nothing_for_what_does_not_train() -> None:
    weight, frozen = (nn.Parameter(torch.zeros(400, 512), requires_grad=trains) for trains in (True, False))
    assert moments_size([weight, frozen], PLAIN) == 8 * 400 * 512
    assert moments_size([weight, frozen], SMALL) == 2 * (400 * 512 + 4 * 800)
    assert moments_size([nn.Parameter(torch.zeros(4095))], SMALL) == 8 * 4095


def with_8_bits() -> Recipe:
    section = {"optimizer": "adamw_8bit"}
    missing = {"reader": "squad", "train": "there-is-no-such-file.json"}
    return Recipe.model_validate({"data": missing, "backbone": {"source": "none"}, "train": section})


def test_where_the_extra_is_missing_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optim, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as refused:
        prepare_training(with_8_bits(), load_registry(), device=CPU, listener=silence)
    assert str(refused.value) == (
        "train.optimizer: adamw_8bit needs the package bitsandbytes: pip install 'qakit[8bit]'"
    )


def test_it_is_refused_where_weights_lie_in_parts() -> None:
    check_launch(SimpleNamespace(distributed_type=DistributedType.NO), with_8_bits())  # type: ignore[arg-type]
    sharded: Any = SimpleNamespace(distributed_type=DistributedType.FSDP, is_fsdp2=True)
    with pytest.raises(UsageError, match=r"train\.optimizer: adamw_8bit does not go together with FSDP"):
        check_launch(sharded, with_8_bits())
