"""The loss on validation examples, beside that of the training: the same windows, heads and mean, without dropout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from qakit.data.arrays import Int64
from qakit.distributed import Workers
from qakit.errors import DataError
from qakit.inference.memory import within_memory
from qakit.modeling.device import Precision, autocast
from qakit.modeling.model import ReadingModel
from qakit.training.feed import Epoch, Feed

MOST_WINDOWS = 2048
"""A loss is a mean: of so many windows it is known well enough, and evaluations stay short."""


@dataclass(frozen=True, slots=True)
class LossSet:
    """Validation windows as training would have them, in batches of its size; the same at every evaluation."""

    epoch: Epoch
    batches: tuple[Int64, ...]

    def __len__(self) -> int:
        """Windows."""
        return sum(map(len, self.batches))


def loss_set(feed: Feed) -> LossSet | None:
    """The windows of the first epoch of ``feed``, or a sample of them; None where there is nothing to learn from."""
    try:
        epoch = feed.epoch(0)
    except DataError:
        return None
    total = np.cumsum([len(rows) for rows in epoch.batches])
    return LossSet(epoch, tuple(epoch.batches[: int(np.searchsorted(total, MOST_WINDOWS)) + 1]))


def validation_loss(
    prepared: LossSet, model: ReadingModel, *, device: torch.device, precision: Precision, workers: Workers
) -> float | None:
    """The mean over windows (over examples, for heads that read groups); None where it is no number.

    Several processes share the batches, and all get the same sum whatever their number.
    """
    was_training = model.training
    model.eval()

    def compute(rows: Int64) -> tuple[float, int]:
        batch = prepared.epoch.batch(rows).to(device)
        with autocast(device, precision):
            loss = model(batch).loss
        groups = prepared.epoch.groups(rows)
        return (math.nan if loss is None else float(loss)), len(rows) if groups is None else len(np.unique(groups))

    with torch.inference_mode():
        found = [
            part for _, part in within_memory(workers.share(prepared.batches), compute, groups=prepared.epoch.groups)
        ]
    model.train(was_training)
    parts = [part for each in workers.gather(found) for part in each]
    loss = math.fsum(value * count for value, count in parts) / sum(count for _, count in parts)
    return loss if math.isfinite(loss) else None
