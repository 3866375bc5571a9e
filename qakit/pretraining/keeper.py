"""What happens to a pretraining's folder while it trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from accelerate import Accelerator

from qakit.inference.workers import Workers
from qakit.modeling.model import ReadingModel
from qakit.pretraining.prepare import Pretraining
from qakit.runs import Run, write_json
from qakit.training.checkpoints import Progress, save_checkpoint
from qakit.training.events import CheckpointWritten, Listener
from qakit.training.feed import Epoch
from qakit.training.journal import Journal


@dataclass(frozen=True, slots=True)
class PretrainKeeper:
    """Keeps a pretraining's folder. There is nothing to judge by: what counts is what fine-tuning makes of it."""

    run: Run
    digest: str
    model: ReadingModel
    optimiser: Any
    pretraining: Pretraining
    accelerator: Accelerator
    workers: Workers
    journal: Journal
    listener: Listener

    def evaluate(self, progress: Progress, *, epoch: float) -> Progress:  # noqa: ARG002
        """Nothing."""
        return progress

    def finish(self, progress: Progress, *, epoch: float) -> None:
        """Nothing: the backbone is written when all is done."""

    def checkpoint(self, progress: Progress) -> None:
        """Make it possible to resume from here."""
        with self.workers.one_fate():
            if self.workers.first:
                scaler = self.accelerator.scaler
                folder = save_checkpoint(
                    self.run.checkpoints,
                    model=self.model,
                    optimiser=self.optimiser,
                    progress=replace(progress, metrics_bytes=self.journal.size()),
                    scaler=None if scaler is None else scaler.state_dict(),
                    recipe_hash=self.digest,
                    keep=1,
                )
                self.listener(CheckpointWritten(progress.step, folder))

    def save_batch(self, epoch: Epoch, rows: Any, progress: Progress) -> None:
        """Write the documents of a batch that breaks the training, and which of their tokens it saw."""
        windows = epoch.windows
        held = [
            {
                "text": self.pretraining.documents[windows.example[row]],
                "first_token": int(windows.first[row]),
                "stop_token": int(windows.stop[row]),
            }
            for row in rows.tolist()
        ]
        if self.workers.first:
            write_json(self.run.broken_batch_file, {"step": progress.step, "epoch": epoch.number, "windows": held})
