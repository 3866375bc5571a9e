"""What is refused or remarked on before a training, whose epochs may be of different lengths."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_model import tiny_model, tiny_plan, tiny_recipe

from qakit.errors import UsageError
from qakit.training.plan import Plan
from qakit.training.tricks import check_tricks

GROWING = tiny_plan(18, 24)
"""Short windows are more, so the first epoch is three quarters of the training."""


def remarks(plan: Plan, **train: Any) -> list[str]:
    return list(check_tricks(tiny_recipe(**train), tiny_model(), plan, validated=True))


def test_an_attack_may_begin_in_a_later_and_shorter_epoch() -> None:
    assert remarks(GROWING, adversarial={"method": "fgm", "start_epoch": 1.8}) == []
    assert remarks(GROWING, adversarial={"method": "fgm", "start_epoch": 1 + 5 / 6}) == []
    with pytest.raises(UsageError, match=r"start_epoch is 1\.9, and the training's last step begins at epoch 1\.833"):
        remarks(GROWING, adversarial={"method": "fgm", "start_epoch": 1.9})


def test_the_ends_of_epochs_are_where_they_are() -> None:
    (remark,) = remarks(GROWING, swa={"start": 0.9, "every": "epoch"})
    assert "only one step's weights" in remark
    assert remarks(GROWING, swa={"start": 0.7, "every": "epoch"}) == []
    with pytest.raises(UsageError, match="none of the last 3 of 23 steps is the end of an epoch"):
        remarks(tiny_plan(18, 24, steps=23), swa={"start": 0.9, "every": "epoch"})


@pytest.mark.parametrize(("every", "alone"), [("epoch", False), (24, True), (30, True), (23, False), (1, False)])
def test_a_soup_of_one_evaluation_is_remarked_on(every: int | str, alone: bool) -> None:
    found = remarks(GROWING, soup={}, evaluate_every=every)
    assert ["there is one evaluation only" in line for line in found] == [True] * alone
    assert ["one evaluation only" in line for line in remarks(tiny_plan(5), soup={})] == [True]
