"""How the processes of a training leave each other."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any, cast

import torch.distributed
from accelerate import Accelerator

from qakit.training.launch import part_ways


def test_a_group_that_was_left_is_not_freed_by_a_model_that_still_holds_it() -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    group = weakref.ref(cast(Any, torch.distributed.group.WORLD))
    state = SimpleNamespace(destroy_process_group=torch.distributed.destroy_process_group)
    one_of_two = SimpleNamespace(num_processes=2, wait_for_everyone=torch.distributed.barrier, state=state)
    part_ways(cast(Accelerator, one_of_two))
    assert not torch.distributed.is_initialized()
    assert group() is not None
