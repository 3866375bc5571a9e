"""The gradients of several processes with whole models: averaged while the last backward pass of a step goes on.

It is what PyTorch's ``DistributedDataParallel`` does, with one difference: a process whose memory runs out in the
middle can still take part. It knows which buckets it has sent, sends zeros for the others, and all learn of it at the
end, so none waits for ever and all begin the step anew.

Source: Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training" (buckets).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn

from qakit.distributed import largest
from qakit.errors import ModelError
from qakit.modeling.device import empty_cache
from qakit.training.sharding import is_sharded

BUCKET = 25 * 2**20
"""Bytes of gradients that travel at once, or those of one parameter where it has more."""


class Outcome(IntEnum):
    """What became of a pass over a process's parts; of several processes the largest counts."""

    WELL = 0
    CUT = 1
    """Memory ran out, and smaller parts may fit."""
    END = 2
    """Memory ran out with a part that cannot be cut."""


class GradientExchange:
    """Averages the gradients of all processes. All do the same in the same order: a pass whose last backward is inside
    :meth:`sending`, then :meth:`finish`, whatever has happened in the pass."""

    def __init__(self, model: nn.Module, *, processes: int, device: torch.device) -> None:
        self._processes, self._device, self._sends = processes, device, False
        self._buffers = list(model.buffers())
        # Those that are used last have their gradients first, and are defined last as a rule.
        parameters = [each for each in reversed(list(model.parameters())) if each.requires_grad]
        self._buckets = _buckets(parameters, BUCKET)
        self._bucket_of = {each: number for number, own in enumerate(self._buckets) for each in own}
        own = weakref.WeakMethod(self._has_gradient)  # parameters and exchange would hold each other for ever

        def has_gradient(parameter: nn.Parameter) -> None:
            if (method := own()) is not None:
                method(parameter)

        for each in parameters:
            each.register_post_accumulate_grad_hook(has_gradient)  # type: ignore[no-untyped-call]
        self._begin()

    @staticmethod
    def of(accelerator: Accelerator, model: nn.Module) -> GradientExchange | None:
        """For an accelerator's processes; None for a single one, and where FSDP exchanges what it has cut."""
        if accelerator.num_processes == 1 or is_sharded(accelerator):
            return None
        return GradientExchange(model, processes=accelerator.num_processes, device=accelerator.device)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """For the last backward pass over a process's parts: each bucket is sent once its gradients are there."""
        self._sends = True
        try:
            yield
        finally:
            self._sends = False

    def finish(self, outcome: Outcome) -> Outcome:
        """Wait until all that travels is there; returns the largest outcome of all processes.

        Where it is not ``WELL`` there are no gradients afterwards; else a parameter has none that no process has used,
        as with a single one. Nothing waits for the device.
        """
        if outcome is not Outcome.WELL:
            self._forget_gradients()
        while len(self._sent) < len(self._buckets):
            self._send()
        for each in self._sent:
            each.work.wait()
        used = self._used
        self._begin()
        for buffer in self._buffers:  # what a backbone keeps of its texts; the first process writes the checkpoints
            _take_first(buffer)
        worst, *anywhere = largest([int(outcome), *used], self._device)
        agreed = Outcome(worst)
        if agreed is not Outcome.WELL:
            self._forget_gradients()
        for parameter, somewhere in zip(self._bucket_of, anywhere, strict=True):
            if not somewhere:
                parameter.grad = None
        return agreed

    def _begin(self) -> None:
        self._sent: list[_Sent] = []
        self._used: list[int] = []  # of each parameter, in their order: 1 where this process has a gradient
        self._waiting = [len(own) for own in self._buckets]

    def _has_gradient(self, parameter: nn.Parameter) -> None:
        """A backward pass has added up all of a parameter's gradient."""
        if not self._sends:
            return
        number = self._bucket_of[parameter]
        if number < len(self._sent):
            raise ModelError(
                "a parameter gets its gradient in several goes, as in a backward pass inside another one: several "
                "processes cannot exchange it; train with one"
            )
        self._waiting[number] -= 1
        while len(self._sent) < len(self._buckets) and self._waiting[len(self._sent)] <= 0:
            self._send()

    def _send(self) -> None:
        """Send the next bucket, in the same order everywhere. Its gradients then lie in it, and nowhere else."""
        own = self._buckets[len(self._sent)]
        self._used += [int(each.grad is not None) for each in own]
        gradients = [each.grad if each.grad is not None else torch.zeros_like(each) for each in own]
        flat = torch.cat([each.reshape(-1) for each in gradients]) if len(own) > 1 else gradients[0].reshape(-1)
        del gradients
        for each, part in zip(own, torch.split(flat, [each.numel() for each in own]), strict=True):
            each.grad = part.view_as(each)
        flat.div_(self._processes)
        self._sent.append(_Sent(flat, distributed.all_reduce(flat, async_op=True)))

    def _forget_gradients(self) -> None:
        for each in self._bucket_of:
            each.grad = None
        empty_cache()


@dataclass(frozen=True, slots=True)
class _Sent:
    """What travels, held until it is there."""

    content: Tensor
    work: distributed.Work


def share_first(model: nn.Module) -> None:
    """Give every process the first one's weights and buffers, before anything is made of them (an average, say). All do
    this together; a process that is alone has nothing to do."""
    if not distributed.is_initialized():
        return
    for each in (*model.parameters(), *model.buffers()):
        _take_first(each.detach())


def _take_first(tensor: Tensor) -> None:
    sent = tensor.contiguous()
    distributed.broadcast(sent, src=0)
    if not tensor.is_contiguous():
        tensor.copy_(sent)


def _buckets(parameters: Sequence[nn.Parameter], size: int) -> list[list[nn.Parameter]]:
    """Neighbours of one type together, as many as fit; each has at least one."""
    buckets: list[list[nn.Parameter]] = []
    room = 0
    for each in parameters:
        room -= each.numel() * each.element_size()
        if not buckets or room < 0 or each.dtype != buckets[-1][0].dtype:
            buckets.append([])
            room = size - each.numel() * each.element_size()
        buckets[-1].append(each)
    return buckets
