"""A training's checkpoints: written on the way, and gone back to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator

from qakit.distributed import Workers
from qakit.modeling.model import ReadingModel
from qakit.runs import Run
from qakit.training.averaging import WeightAverage
from qakit.training.checkpoints import Progress, latest_checkpoint, load_checkpoint, save_checkpoint, update_progress
from qakit.training.events import CheckpointWritten, Listener, Notice, Preparing
from qakit.training.journal import Journal


@dataclass(frozen=True, slots=True)
class Resuming:
    """What a training goes on from when it is broken off. All processes do this together; the first one writes."""

    run: Run
    digest: str
    """Of what the training is made of: a checkpoint of another one is refused."""
    keep: int
    """How many checkpoints stay."""
    accelerator: Accelerator
    workers: Workers
    journal: Journal
    listener: Listener

    def restore(
        self,
        model: ReadingModel,
        optimiser: torch.optim.Optimizer,
        average: WeightAverage | None = None,
        *,
        resume: bool,
    ) -> Progress:
        """Put back what the last whole checkpoint holds, and cut the journal there; without ``resume`` begin anew.

        Raises:
            RunError: all checkpoints are damaged, or they are of another training.
        """
        checkpoint = None
        with self.workers.fail_together():
            if resume and self.workers.first:
                root = self.run.checkpoints
                checkpoint = latest_checkpoint(root, warn=lambda text: self.listener(Notice(text)))
        checkpoint = self.workers.from_first(checkpoint)
        progress, scaler = Progress(), self.accelerator.scaler
        with self.workers.fail_together():
            if checkpoint is not None:
                progress, scale = load_checkpoint(
                    checkpoint, model=model, optimiser=optimiser, average=average, recipe_hash=self.digest
                )
                if scale is not None and scaler is not None:
                    scaler.load_state_dict(scale)
            self.journal.cut(progress.metrics_bytes)
        if checkpoint is not None:
            self.listener(Preparing(f"resuming from {checkpoint.name}"))
        elif resume:
            self.listener(Preparing("there is no whole checkpoint: starting from the beginning"))
        return progress

    def save(
        self,
        progress: Progress,
        model: ReadingModel,
        optimiser: torch.optim.Optimizer,
        average: WeightAverage | None = None,
    ) -> None:
        """Write a checkpoint; the journal is on disk up to here before it."""
        scaler = self.accelerator.scaler
        with self.workers.fail_together():
            if self.workers.first:
                folder = save_checkpoint(
                    self.run.checkpoints,
                    model=model,
                    optimiser=optimiser,
                    average=average,
                    progress=replace(progress, metrics_bytes=self.journal.size()),
                    scaler=None if scaler is None else scaler.state_dict(),
                    recipe_hash=self.digest,
                    keep=self.keep,
                )
                self.listener(CheckpointWritten(progress.step, folder))

    def complete(self, progress: Progress) -> None:
        """Replace the progress in this step's checkpoint; the journal is on disk up to here before it."""
        with self.workers.fail_together():
            if self.workers.first:
                update_progress(self.run.checkpoints, replace(progress, metrics_bytes=self.journal.size()))
