"""What has happened since the last logged step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qakit.training.checkpoints import Progress
from qakit.training.guards import StepGuard


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


class Tally:
    """Counts steps. What is summed stays on the device until it is asked for, so that no step waits for it."""

    def __init__(self, guard: StepGuard, progress: Progress, *, device: torch.device) -> None:
        """``progress``: of the checkpoint that is gone on from, with the steps since its last logged one."""
        self._guard = guard
        self._losses = torch.tensor(progress.loss_sum, device=device)
        self._steps, self._skipped_before = progress.unlogged, progress.skipped
        self._windows, self._began = 0, time.perf_counter()

    def add(self, loss: Tensor, *, windows: int) -> None:
        """A step with the loss that the guard makes of it."""
        self._losses += loss
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
        )
        self._losses.zero_()
        self._steps, self._skipped_before, self._windows, self._began = 0, 0, 0, time.perf_counter()
        return counted

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
