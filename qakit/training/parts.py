"""Into how many parts the windows of a step are cut, so that each fits into memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from qakit.data.arrays import Int64
from qakit.distributed import Workers
from qakit.recipe.model import TrainSection
from qakit.training.feed import Epoch, parts_of
from qakit.training.guards import SMALLER_MODEL, told_when_memory_ends
from qakit.training.optim import moments_size


def largest_part(epoch: Epoch, parts: int, workers: Workers) -> Int64:
    """What this process computes in one forward pass, where that is most: rows of the epoch's windows.

    Args:
        parts: into how many each process cuts its share of a step.
    """
    lengths = epoch.collator.lengths

    def padded(rows: Int64) -> int:
        return len(rows) * int(lengths[rows].max())

    batch = max(epoch.batches, key=padded)
    own = parts_of(batch, accumulation=parts, rank=workers.rank, processes=workers.size, groups=epoch.groups(batch))
    return max((part.rows for part in own), key=padded)


def needed_later(model: nn.Module, section: TrainSection) -> int:
    """Bytes that a training keeps on the device beside weights, gradients and what a forward pass leaves: the moments,
    an average of the weights, and those that an adversarial pass moves."""
    copies = (section.ema is not None or section.swa is not None) + (section.adversarial is not None)
    weights = sum(each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)
    return moments_size(model.parameters(), section) + copies * weights


@contextmanager
def reserved(size: int, device: torch.device) -> Iterator[None]:
    """Meanwhile so many bytes of the device are taken.

    Raises:
        RunError: there are not so many.
    """
    with told_when_memory_ends("before the first step: the optimiser's moments do not fit", SMALLER_MODEL):
        held = torch.empty(size, dtype=torch.uint8, device=device)
    try:
        yield
    finally:
        del held
