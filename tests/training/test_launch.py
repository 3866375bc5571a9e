"""How the processes of a launch leave each other."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch.distributed
from accelerate import PartialState
from accelerate.utils import DistributedType

from qakit import distributed
from qakit.distributed import Workers, processes_of_this_launch
from qakit.errors import UsageError
from qakit.recipe.model import Recipe
from qakit.training.launch import accelerator_for
from qakit.training.sharding import check_launch


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, of which the other one agrees to everything."""
    monkeypatch.setattr(distributed, "launched_processes", lambda: 2)
    monkeypatch.setattr(Workers, "gather", lambda self, value: [value, value])

    def join() -> tuple[Workers, torch.device]:
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        return Workers(0, 2), torch.device("cpu")

    monkeypatch.setattr(distributed, "join_workers", join)


@pytest.mark.usefixtures("joined")
def test_a_group_that_was_left_is_not_freed_by_a_model_that_still_holds_it() -> None:
    with processes_of_this_launch():
        group = weakref.ref(cast(Any, torch.distributed.group.WORLD))
    assert not torch.distributed.is_initialized()
    assert group() is not None
    assert not PartialState._shared_state


@pytest.mark.usefixtures("joined")
def test_the_outermost_block_ends_the_launch() -> None:
    with processes_of_this_launch():
        with processes_of_this_launch():
            pass
        assert torch.distributed.is_initialized()
    assert not torch.distributed.is_initialized()


@pytest.mark.usefixtures("joined")
def test_who_leaves_with_an_error_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def waited(self: Workers, value: object) -> list[object]:
        raise AssertionError("waited")

    monkeypatch.setattr(Workers, "gather", waited)
    try:
        with pytest.raises(LookupError), processes_of_this_launch():
            raise LookupError
    finally:
        torch.distributed.destroy_process_group()


def test_deepspeed_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    recipe = Recipe.model_validate({"data": {"reader": "squad"}, "backbone": {"source": "m"}})
    with pytest.raises(UsageError, match="DEEPSPEED; qakit trains with one whole model per process"):
        accelerator_for(recipe)


def test_accumulation_is_the_loops_own_whatever_a_launcher_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerate would divide the gradients once more."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    recipe = Recipe.model_validate({"data": {"reader": "squad"}, "backbone": {"source": "m"}})
    assert accelerator_for(recipe).gradient_accumulation_steps == 1


def test_tricks_that_read_whole_weights_are_refused_where_they_lie_in_parts() -> None:
    sharded: Any = SimpleNamespace(distributed_type=DistributedType.FSDP, is_fsdp2=True)
    plain = {"data": {"reader": "squad"}, "backbone": {"source": "m"}}
    check_launch(sharded, Recipe.model_validate(plain))
    for trick in ({"r_drop": {}}, {"adversarial": {"method": "fgm"}}):
        with pytest.raises(UsageError, match=rf"^train\.{next(iter(trick))} does not go together with FSDP"):
            check_launch(sharded, Recipe.model_validate(plain | {"train": trick}))
