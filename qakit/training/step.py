"""The gradients of one optimiser step, in as many parts as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator

from qakit.attribution import fault
from qakit.data.batch import Batch
from qakit.errors import RunError
from qakit.modeling.device import empty_cache
from qakit.modeling.model import ReadingModel
from qakit.protocols import GivesDistributions, HeadOutput
from qakit.randomness import derive_seed
from qakit.recipe.model import Recipe
from qakit.system import is_out_of_memory
from qakit.training.adversarial import Attack
from qakit.training.distill import distilled
from qakit.training.events import Listener, Notice
from qakit.training.exchange import GradientExchange, Outcome
from qakit.training.feed import Epoch, Part, parts_of
from qakit.training.r_drop import divergence

ADVERSARIAL, AGAIN = "adversarial", "again"
"""What further forward passes of a part are for: addresses of their dropout."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What one step's passes gave.

    Attributes:
        loss: this process's share.
        accumulation: in how many parts it was computed.
        figures: the head's further ones, of each of this process's parts with its share of the step.
    """

    loss: torch.Tensor
    accumulation: int
    figures: Sequence[tuple[float, Mapping[str, torch.Tensor]]]


def step_gradients(
    recipe: Recipe,
    epoch: Epoch,
    rows: Any,
    step: int,
    accumulation: int,
    *,
    attack: Attack | None,
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimiser: Any,
    listener: Listener,
    exchange: GradientExchange | None = None,
) -> Computed:
    """Forward and backward for one step.

    When memory runs out the parts are halved and the step begins anew: the batch of the optimiser stays what it is.
    Several processes do so together, in whichever it ran out.

    Args:
        attack: what this step's adversarial pass moves; None for a step without one.
        exchange: of several processes with a whole model each.

    Raises:
        RunError: memory runs out where no part can be cut any further; or, in several processes, between two passes or
            with weights that lie in parts.
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
        work = _Step(recipe, epoch, step, accelerator, model, exchange)
        try:
            loss = work.pass_over(parts) if attack is None else work.attacked(parts, attack)
            return Computed(loss, accumulation, work.figures)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if processes > 1 or not _can_be_cut(parts):
                raise RunError(too_large(processes, accumulation)) from error
        except _RanOutError as found:
            if found.outcome is Outcome.END:
                raise RunError(too_large(1, accumulation)) from None
        optimiser.zero_grad(set_to_none=True)
        empty_cache()
        accumulation *= 2
        listener(
            Notice(
                f"out of memory at step {step + 1}: from now on each step is computed in {accumulation} parts "
                f"(train.accumulation={accumulation}), with the same batch"
            )
        )


class _RanOutError(Exception):
    """Memory ran out in a pass, in this process or another one; all of them raise this, and have no gradients."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class _Step:
    """One optimiser step, whatever its parts are."""

    recipe: Recipe
    epoch: Epoch
    number: int
    accelerator: Accelerator
    model: torch.nn.Module
    exchange: GradientExchange | None
    figures: list[tuple[float, Mapping[str, torch.Tensor]]] = field(default_factory=list)
    """Of the parts that were read without a purpose of their own, each with its share of the step."""

    def attacked(self, parts: list[Part], attack: Attack) -> torch.Tensor:
        """Two passes, the second one on moved weights; returns the first one's loss."""
        with attack.watching():
            loss = self.pass_over(parts)
        with attack.moved(self.accelerator):
            self.pass_over(parts, ADVERSARIAL, weight=attack.section.weight)
        return loss

    def pass_over(self, parts: list[Part], *purpose: str, weight: float = 1.0) -> torch.Tensor:
        """The gradients of the parts, times ``weight``, are added up, and averaged over all processes; returns this
        process's share of the loss.

        ``purpose`` is a part of the address of the dropout.

        Raises:
            _RanOutError: of several processes with a whole model each; others raise what PyTorch does.
        """
        if self.exchange is None:
            return self._added_up(parts, purpose, weight)
        loss, outcome = None, Outcome.WELL
        try:
            loss = self._added_up(parts, purpose, weight)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            outcome = Outcome.CUT if _can_be_cut(parts) else Outcome.END
        # Only here, after the except block, is the memory of the failed attempt free.
        outcome = self.exchange.finish(outcome)
        if loss is None or outcome is not Outcome.WELL:
            raise _RanOutError(outcome)
        return loss

    def _added_up(self, parts: list[Part], purpose: tuple[str, ...], weight: float) -> torch.Tensor:
        total = torch.zeros((), device=self.accelerator.device)
        for index, part in enumerate(parts):
            batch = self.epoch.batch(part.rows).to(self.accelerator.device)
            with self._last() if index == len(parts) - 1 else self.accelerator.no_sync(self.model):
                loss = self._loss(batch, part, purpose)
                # Processes average their gradients, so each part counts by its share of the step's windows.
                self.accelerator.backward(loss * (weight * part.weight * self.accelerator.num_processes))
            total += loss.detach() * part.weight
        return total

    def _last(self) -> AbstractContextManager[Any]:
        """Gradients travel between processes only with the last part of a step."""
        return nullcontext() if self.exchange is None else self.exchange.sending()

    def _loss(self, batch: Batch, part: Part, purpose: tuple[str, ...]) -> torch.Tensor:
        """The mean loss of a part."""

        def hear(output: HeadOutput) -> None:
            if output.figures and part.weight and not purpose:
                self.figures.append((part.weight, {name: each.detach() for name, each in output.figures.items()}))

        # Both readings' gradients meet in the same weights, so they travel together.
        plain = self.accelerator.unwrap_model(self.model)
        address: tuple[int | str, ...] = (self.number, part.address, *purpose)
        return mean_loss(self.recipe, batch, *address, model=self.model, plain=plain, hear=hear)


def mean_loss(
    recipe: Recipe,
    batch: Batch,
    *address: int | str,
    model: torch.nn.Module,
    plain: ReadingModel,
    hear: Callable[[HeadOutput], object] = lambda _: None,
) -> torch.Tensor:
    """The mean loss of a batch with targets, () float32.

    Args:
        address: that of the dropout.
        model: what reads the batch.
        plain: the same model without wrappers, for a second reading (``train.r_drop``).
        hear: gets what the head makes of the first reading.
    """
    _seed(batch.input_ids.device, recipe, *address)
    output: HeadOutput = model(batch)
    hear(output)
    r_drop = recipe.train.r_drop
    if r_drop is None:
        return _loss_of(output, batch, recipe, plain)
    _seed(batch.input_ids.device, recipe, *address, AGAIN)
    again: HeadOutput = plain(batch)
    head: GivesDistributions = plain.decoder  # type: ignore[assignment]
    readings = [head.distributions(each.scores, batch) for each in (output, again)]
    mean = (_loss_of(output, batch, recipe, plain) + _loss_of(again, batch, recipe, plain)) / 2
    return mean + r_drop.weight * divergence(*readings)


def _loss_of(output: HeadOutput, batch: Batch, recipe: Recipe, plain: ReadingModel) -> torch.Tensor:
    """The head's loss, and what the teachers say to it."""
    if output.loss is None:
        raise fault(plain.head, "forward", "gives no loss for a batch with targets; it must give their mean")
    loss = output.loss
    if batch.soft_targets is None or recipe.distill is None:
        return loss
    return distilled(recipe.distill, loss, output, batch, plain.decoder)


def _seed(device: torch.device, recipe: Recipe, *address: int | str) -> None:
    """Seed the dropout on the CPU and on the device, and no others: ``torch.manual_seed`` formats the call stack once
    for each kind of device that was never used, which takes longer than a small step."""
    seed = derive_seed(recipe.seed, "dropout", *address)
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def too_large(processes: int, accumulation: int) -> str:
    """Why a step ends whose parts cannot be cut any further, and what to do."""
    if processes > 1:
        return (
            "out of memory where several processes cannot change their parts on the way: start again with "
            f"train.accumulation={2 * accumulation}, which keeps the batch"
        )
    return (
        "out of memory with a single window: choose a smaller windows.max_length or backbone, set "
        "train.gradient_checkpointing=true, or freeze a part of it with another adapter"
    )


def _can_be_cut(parts: list[Part]) -> bool:
    return max(part.units for part in parts) > 1
