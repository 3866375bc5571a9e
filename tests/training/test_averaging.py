"""The moving average of the weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qakit.errors import RunError
from qakit.recipe.tricks import EmaSection
from qakit.training.averaging import Exponential, WeightAverage


def averaged(decay: float = 0.9) -> tuple[torch.nn.Linear, WeightAverage]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    return model, WeightAverage(model, Exponential(EmaSection(decay=decay)))


def test_the_average_follows_the_formula_with_a_growing_decay() -> None:
    model, average = averaged(decay=0.5)
    expected = model.weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            model.weight += torch.randn(2, 3, generator=torch.Generator().manual_seed(step))
        average.update(step, ends_epoch=False)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.tensors()["weight"], expected)


def test_it_takes_the_models_place_only_meanwhile() -> None:
    model, average = averaged()
    for step in (1, 2):
        average.update(step, ends_epoch=False)
        with torch.no_grad():
            model.weight += 1.0
    weight, held = model.weight.detach().clone(), average.state()["weight"].clone()
    with pytest.raises(ValueError, match="stop"), average.in_place():
        assert torch.equal(model.weight, held)
        raise ValueError("stop")
    assert torch.equal(model.weight, weight)
    assert torch.equal(average.state()["weight"], held)


def test_a_checkpoints_average_must_be_of_the_same_parameters(tmp_path: Path) -> None:
    _, average = averaged()
    with pytest.raises(RunError, match="of other parameters"):
        average.load({"bias": torch.zeros(2)})
