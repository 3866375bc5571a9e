"""What keeps a long training from going wrong unseen: broken steps, full memory, a loss that does not fall. Steps are
counted here, those that were left out among them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, distributed

from qakit.errors import RunError
from qakit.system import is_out_of_memory
from qakit.training.checkpoints import Progress

SEARCHING = 16
"""Steps in a row that a loss scaler may leave out while it looks for its scale: from 2^16 down to 1 by halves."""
SMALLER_MODEL = "choose a smaller backbone, or an adapter that trains fewer weights (lora, bitfit, freeze)"
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


@dataclass(frozen=True, slots=True)
class Counted:
    """Some steps, up to a logged one."""

    loss: float
    """The mean of the steps that were done."""
    any_done: bool
    skipped: int
    skipped_in_a_row: int
    """Up to the last one, also from before the first."""
    windows_per_second: float
    figures: Mapping[str, float]
    """The head's further ones: the mean of each where it was a finite number, of this process's windows."""


class Tally:
    """Counts steps. What is summed stays on the device until it is asked for, so that no step waits for it."""

    def __init__(self, guard: StepGuard, progress: Progress, *, device: torch.device) -> None:
        """``progress``: of the checkpoint that is gone on from, with the steps since its last logged one."""
        self._guard = guard
        self._losses = torch.tensor(progress.loss_sum, device=device)
        self._steps, self._skipped_before = progress.unlogged, progress.skipped
        self._windows, self._began = 0, time.perf_counter()
        self._figures: dict[str, Tensor] = {}

    def add(self, loss: Tensor, *, windows: int, figures: Iterable[tuple[float, Mapping[str, Tensor]]] = ()) -> None:
        """A step with the loss that the guard makes of it, and the head's further figures of each of its parts."""
        self._losses += loss
        for share, part in figures:
            for name, figure in part.items():
                is_number = torch.isfinite(figure)
                added = share * torch.stack([torch.where(is_number, figure.float(), 0.0), is_number.float()])
                self._figures[name] = added + self._figures.get(name, 0.0)  # (2,) the sum, and what it is of
        self._steps += 1
        self._windows += windows

    def read(self) -> Counted:
        """The steps up to here; from now on it counts anew. Waits for the device."""
        skipped, in_a_row = self._guard.read()
        skipped += self._skipped_before
        counted = Counted(
            loss=float(self._losses) / max(1, self._steps - skipped),
            any_done=self._steps > skipped,
            skipped=skipped,
            skipped_in_a_row=in_a_row,
            windows_per_second=self._windows / (time.perf_counter() - self._began),
            figures={name: total / share for name, (total, share) in self._summed() if share},
        )
        self._losses.zero_()
        self._figures.clear()
        self._steps, self._skipped_before, self._windows, self._began = 0, 0, 0, time.perf_counter()
        return counted

    def _summed(self) -> Iterator[tuple[str, list[float]]]:
        if self._figures:
            yield from zip(self._figures, torch.stack([*self._figures.values()]).tolist(), strict=True)

    def noted(self, progress: Progress) -> Progress:
        """The progress with what is counted so far, for a checkpoint."""
        skipped, in_a_row = self._guard.peek()
        return replace(
            progress,
            loss_sum=float(self._losses),
            unlogged=self._steps,
            skipped=self._skipped_before + skipped,
            skipped_in_a_row=in_a_row,
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile no time is counted."""
        began = time.perf_counter()
        yield
        self._began += time.perf_counter() - began
