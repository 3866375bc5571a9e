"""The gradients of one optimiser step, in as many parts as memory allows."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator

from qakit.errors import PluginError, RunError
from qakit.inference.memory import is_out_of_memory
from qakit.randomness import derive_seed
from qakit.recipe.model import Recipe
from qakit.training.events import Listener, Notice
from qakit.training.feed import Epoch, Part, parts_of


def step_gradients(
    recipe: Recipe,
    epoch: Epoch,
    rows: Any,
    step: int,
    accumulation: int,
    *,
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimiser: Any,
    listener: Listener,
) -> tuple[torch.Tensor, int]:
    """Forward and backward for one step: this process's share of the loss, and in how many parts it was computed.

    When memory runs out the parts are halved and the step begins anew: the batch of the optimiser stays what it is.
    """
    processes = accelerator.num_processes
    while True:
        parts = parts_of(
            rows,
            accumulation=accumulation,
            rank=accelerator.process_index,
            processes=processes,
            groups=epoch.groups(rows),
        )
        try:
            return _accumulate(recipe, epoch, parts, step, accelerator=accelerator, model=model), accumulation
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if processes > 1 or max(part.units for part in parts) == 1:
                raise RunError(_too_large(processes, accumulation)) from error
        optimiser.zero_grad(set_to_none=True)
        if accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        accumulation *= 2
        listener(
            Notice(
                f"out of memory at step {step + 1}: from now on each step is computed in {accumulation} parts "
                f"(train.accumulation={accumulation}), with the same batch"
            )
        )


def _accumulate(
    recipe: Recipe,
    epoch: Epoch,
    parts: list[Part],
    step: int,
    *,
    accelerator: Accelerator,
    model: torch.nn.Module,
) -> torch.Tensor:
    """The gradients of a step's parts, summed; returns this process's share of the loss."""
    total = torch.zeros((), device=accelerator.device)
    for index, part in enumerate(parts):
        torch.manual_seed(derive_seed(recipe.seed, "dropout", step, part.address))
        batch = epoch.collator.collate(part.rows, targets=True).to(accelerator.device)
        with _synchronising(accelerator, model, index == len(parts) - 1):
            loss = _checked(model(batch).loss)
            # Processes average their gradients, so each part counts by its share of the step's windows.
            accelerator.backward(loss * (part.weight * accelerator.num_processes))
        total += loss.detach() * part.weight
    return total


def _checked(loss: torch.Tensor | None) -> torch.Tensor:
    """A loss that can be differentiated."""
    if loss is None or loss.ndim:
        found = "no loss" if loss is None else f"a loss of shape {tuple(loss.shape)}"
        raise PluginError(f"the head gives {found} for a batch with targets; it must give the mean, a single number")
    return loss


def _too_large(processes: int, accumulation: int) -> str:
    if processes > 1:
        return (
            "out of memory. Several processes cannot change their parts on the way: start again with "
            f"train.accumulation={2 * accumulation}, which keeps the batch"
        )
    return (
        "out of memory with a single window: choose a smaller windows.max_length or backbone, or freeze a part of it "
        "with another adapter"
    )


def _synchronising(accelerator: Accelerator, model: torch.nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Gradients travel between processes only with the last part of a step."""
    return nullcontext() if last else accelerator.no_sync(model)
