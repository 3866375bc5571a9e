"""Further figures of heads: means over the steps since the last logged one, without a wait for the device."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny_model import tiny_epoch, tiny_model, tiny_recipe

from qakit.cli.terminal.progress import TrainingDisplay
from qakit.errors import RunError
from qakit.protocols import HeadOutput
from qakit.recipe.tricks import AdversarialSection
from qakit.training.adversarial import Attack
from qakit.training.checkpoints import Progress
from qakit.training.events import StepDone, silence
from qakit.training.guards import StepGuard, Tally
from qakit.training.step import Computed, step_gradients

CPU = torch.device("cpu")


class OneOfTwo(Accelerator):
    """Of two processes whose weights lie in parts: gradients are exchanged by somebody else."""

    num_processes = 2


def computed(
    parts: int, *, fits: int = 4, method: str | None = None, accelerator: type[Accelerator] = Accelerator, **train: Any
) -> Computed:
    """A step whose head gives its windows' mean first position, which is 5, 0, 5 and 12; of ``fits`` at most."""
    model = tiny_model("linear_span")
    forward = model.forward

    def with_figures(batch: Any) -> HeadOutput:
        if len(batch) > fits:
            raise MemoryError
        return replace(forward(batch), figures={"first": batch.target_first.float().mean()})

    model.forward = with_figures  # type: ignore[method-assign]
    return step_gradients(
        tiny_recipe(**train), tiny_epoch(), np.arange(4), 3, parts, accelerator=accelerator(cpu=True),
        attack=None if method is None else Attack(model, AdversarialSection.model_validate({"method": method})),
        model=model, optimiser=SimpleNamespace(zero_grad=lambda set_to_none: None), listener=silence,
    )  # fmt: skip


def tally() -> Tally:
    guard = StepGuard(SimpleNamespace(), device=CPU, scaled=False)
    return Tally(guard, Progress(), device=CPU)


@pytest.mark.parametrize(("parts", "fits"), [(1, 4), (2, 4), (3, 4), (1, 1)])
def test_the_mean_is_the_same_however_a_step_is_cut(parts: int, fits: int) -> None:
    counted = tally()
    counted.add(torch.tensor(1.0), windows=4, figures=computed(parts, fits=fits).figures)
    assert counted.read().figures == {"first": pytest.approx(5.5)}
    assert counted.read().figures == {}


def test_a_second_reading_does_not_count() -> None:
    assert [list(part) for _, part in computed(1, r_drop={"weight": 1.0}).figures] == [["first"]]


def test_an_adversarial_pass_does_not_count() -> None:
    assert [share for share, _ in computed(2, method="fgm").figures] == [0.5, 0.5]


def test_where_weights_lie_in_parts_no_process_cuts_its_step_alone() -> None:
    with pytest.raises(RunError, match=r"train\.accumulation=2"):
        computed(1, fits=1, accelerator=OneOfTwo)


def test_steps_count_alike_and_those_without_a_number_not_at_all() -> None:
    counted = tally()
    for value in (1.0, math.nan, 2.0, math.inf):
        counted.add(torch.tensor(1.0), windows=4, figures=[(1.0, {"x": torch.tensor(value)})])
    counted.add(torch.tensor(1.0), windows=4, figures=[(1.0, {"never": torch.tensor(math.nan)})])
    assert counted.read().figures == {"x": pytest.approx(1.5)}


def test_they_stand_beside_the_loss(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay() as display:
        display(StepDone(1, 0.1, 8, 2.0, 1e-3, 9.0, {"start": 1.5, "end": 0.5}))
    assert "loss 2.000 (start 1.500, end 0.500)  lr 1.0e-03" in capsys.readouterr().err
