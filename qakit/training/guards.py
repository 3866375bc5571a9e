"""What keeps a long training from going wrong unseen: broken steps, full memory, a loss that does not fall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, distributed

from qakit.errors import RunError
from qakit.inference.memory import is_out_of_memory

SEARCHING = 16
"""Steps in a row that a loss scaler may leave out while it looks for its scale: from 2^16 down to 1 by halves."""
LEAST_FALL = 0.01
"""Share of the first losses by which a loss must have fallen, when it is looked at, to count as learning."""
LOOKED_AT = 0.15
"""Share of all steps after which the loss is looked at."""
LEAST_LINES = 6
"""Logged losses needed to compare their first and their last third."""


class StepGuard:
    """Leaves out the steps whose loss or gradients are not finite, and counts them, without waiting for the device.

    The fused optimiser itself skips a step whose ``found_inf`` is 1, as it does for PyTorch's loss scaler; so weights
    and moments stay as they were, and nothing has to be known on the CPU before a step is logged. With fp16 the loss
    scaler leaves out steps whose gradients are not finite, as here; then they are only counted.
    """

    def __init__(self, optimiser: Any, *, device: torch.device, scaled: bool, in_a_row: int = 0) -> None:
        """``scaled``: a loss scaler is at work. ``in_a_row``: steps left out just before, from a checkpoint."""
        self._optimiser = getattr(optimiser, "optimizer", optimiser)  # without accelerate's wrapper
        self._scaled = scaled
        self._in_a_row = torch.tensor(float(in_a_row), device=device)
        self._skipped = torch.zeros((), device=device)

    def judge(self, loss: Tensor, norm: Tensor) -> Tensor:
        """To be called before the optimiser's step, with this process's loss and the norm of the step's gradients.

        Returns:
            The loss over all processes, or 0 where it is not finite: the sum of losses since the last logged step stays
            a number. It is the same in every process, and so is the sum, however often the training is resumed.
        """
        # Also where the loss alone is broken: a target among scores of -inf has finite gradients.
        broken = ~torch.isfinite(loss) | ~torch.isfinite(norm)
        if distributed.is_initialized():
            both = torch.stack([broken.float(), torch.where(broken, 0.0, loss)])
            distributed.all_reduce(both)
            broken, loss = both[0] > 0, both[1]
        if not self._scaled:
            self._optimiser.found_inf = broken.float()
        self._in_a_row = torch.where(broken, self._in_a_row + 1, 0.0)
        self._skipped += broken
        return torch.where(broken, 0.0, loss)

    def is_beyond_hope(self, in_a_row: int, *, allowed: int, done: int | None) -> bool:
        """Whether the training should end, having left out ``in_a_row`` steps up to now.

        Args:
            in_a_row: as :meth:`read` says.
            allowed: so many in a row are too many (``train.max_skipped``); a loss scaler has some more to find its
                scale.
            done: all steps of the training, if this was its last one: where none was taken, nothing was learned.
        """
        return in_a_row >= allowed + (SEARCHING if self._scaled else 0) or in_a_row == done

    def read(self) -> tuple[int, int]:
        """(steps left out since the last call, steps left out in a row up to now). Waits for the device."""
        skipped = int(self._skipped)
        self._skipped.zero_()
        return skipped, int(self._in_a_row)

    def peek(self) -> tuple[int, int]:
        """The same without forgetting, for a checkpoint."""
        return int(self._skipped), int(self._in_a_row)


@contextmanager
def told_when_memory_ends(what: str, advice: str) -> Iterator[None]:
    """For work that cannot be cut into parts.

    Raises:
        RunError: memory ran out inside.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(f"out of memory {what}: {advice}") from error


def is_time_to_look(step: int, *, steps: int, log_every: int) -> bool:
    """Whether this logged step is the one at which :func:`not_learning` is asked: the first after 15% of them."""
    due = max(LOOKED_AT * steps, LEAST_LINES * log_every)
    return due <= step < due + log_every


def not_learning(losses: Sequence[float]) -> str | None:
    """A remark for the user if the logged losses have not fallen, else None."""
    if len(losses) < LEAST_LINES:
        return None
    third = len(losses) // 3
    first, last = fmean(losses[:third]), fmean(losses[-third:])
    if last <= first * (1 - LEAST_FALL):
        return None
    return (
        f"the loss has not fallen so far ({first:.3f} at first, {last:.3f} now): this training may learn nothing; "
        "try another train.learning_rate, and look at the data with `qakit data check`"
    )
