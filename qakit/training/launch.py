"""The processes of a training, as accelerate sees them, and whether they have the same training before them."""

from __future__ import annotations

import os

from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import GradientAccumulationPlugin
from torch import nn
from torch.optim import Optimizer

from qakit.distributed import Workers, check_same, join_workers
from qakit.modeling.device import resolve_precision
from qakit.recipe.model import Recipe
from qakit.training.prepare import Prepared
from qakit.training.sharding import check_launch, not_trainable_with

BY_ALL = {"seed", "windows", "preprocess", "train", "adapter", "head", "predict", "metric"}
"""The blocks of a recipe that every process goes by."""


def accelerator_for(recipe: Recipe) -> Accelerator:
    """Accelerate's view of the machine: one process, or those that a launcher started. For each training a new one.

    Raises:
        UsageError: the launcher's configuration asks for what the loop cannot do.
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":  # it would meet in a way of its own
        raise not_trainable_with("DEEPSPEED")
    # Accelerate has one state in a process; trainings one after the other may differ in precision or device. The
    # processes stay together: a process group that there is already is taken.
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    _, device = join_workers()
    precision = resolve_precision(recipe.train.precision, device)
    # Without `cpu=True` accelerate takes several CPU processes for as many single ones.
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=device.type == "cpu",
        # Accumulation is the loop's own; a number left in the environment would divide the gradients once more.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    check_launch(accelerator, recipe)
    return accelerator


def prepared_for(accelerator: Accelerator, model: nn.Module, optimiser: Optimizer) -> tuple[nn.Module, Optimizer]:
    """A whole model and its optimiser as accelerate prepares them. Several processes do this together; their gradients
    are exchanged by :class:`~qakit.training.exchange.GradientExchange`."""
    # To accelerate, a model that is not for evaluation alone is one to be wrapped by DistributedDataParallel.
    model = accelerator.prepare_model(model, evaluation_mode=True)
    return model, accelerator.prepare_optimizer(optimiser)


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
