"""The processes of a training: how they find and leave each other."""

from __future__ import annotations

import atexit
from datetime import timedelta

import torch.distributed
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin, InitProcessGroupKwargs

from qakit.distributed import Workers, check_same, launched_processes
from qakit.modeling.device import pick_device, resolve_precision
from qakit.recipe.model import Recipe
from qakit.training.prepare import Prepared
from qakit.training.sharding import check_launch

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other."""
BY_ALL = {"seed", "windows", "preprocess", "train", "adapter", "head", "predict", "metric"}
"""The blocks of a recipe that every process goes by."""


def accelerator_for(recipe: Recipe) -> Accelerator:
    """Accelerate's view of the machine: one process, or those that `torchrun` or `accelerate launch` started.

    Raises:
        UsageError: the launcher's configuration asks for what the loop cannot do.
    """
    device = pick_device()
    precision = resolve_precision(recipe.train.precision, device)
    if launched_processes() == 1:
        # Accelerate has one state in a process; trainings one after the other may differ in precision or device.
        AcceleratorState._reset_state(reset_partial_state=True)
    # Without `cpu=True` accelerate takes several CPU processes for as many single ones.
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=device.type == "cpu",
        # Accumulation is the loop's own; a number left in the environment would divide the gradients once more.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        # One process may tokenise for long while the others wait for it; by default they give up after minutes.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    check_launch(accelerator, recipe)
    return accelerator


def workers_of(accelerator: Accelerator) -> Workers:
    """The accelerator's processes."""
    return Workers(accelerator.process_index, accelerator.num_processes, accelerator.local_process_index)


def check_same_training(prepared: Prepared, workers: Workers) -> None:
    """Refuse to train on in processes that have prepared different trainings. The weights need not be the same yet.

    Raises:
        RunError: in all processes; they differ.
    """
    validation = prepared.validation
    check_same(
        workers,
        prepared.recipe.model_dump(mode="json", include=BY_ALL),
        prepared.feed.encoded,
        prepared.plan.steps,
        prepared.plan.first.windows,
        *(() if validation is None else (validation.encoded, validation.windows)),
    )


def part_ways(accelerator: Accelerator) -> None:
    """End the work in common: after this, each process goes on alone."""
    if accelerator.num_processes > 1:
        accelerator.wait_for_everyone()
        # Whoever frees the group joins gloo's threads, and one of these may wait for the interpreter's lock to let go
        # of a tensor. A model wrapped by DistributedDataParallel frees it with the lock held, and so never ends; at
        # exit it is freed without (https://github.com/pytorch/pytorch/issues/56297).
        atexit.register(list[object].clear, [torch.distributed.group.WORLD])
        accelerator.state.destroy_process_group()
