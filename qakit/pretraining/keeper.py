"""What happens to a pretraining's folder while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qakit.files import write_json
from qakit.pretraining.prepare import Pretraining
from qakit.training.checkpoints import Progress, Resuming
from qakit.training.feed import Epoch


@dataclass(frozen=True, slots=True)
class PretrainKeeper:
    """Keeps a pretraining's folder. There is nothing to judge by: what counts is what fine-tuning makes of it."""

    pretraining: Pretraining
    optimiser: Any
    resuming: Resuming

    def evaluate(self, progress: Progress) -> Progress:
        """Nothing: the same progress."""
        return progress

    def combine_kept(self, progress: Progress) -> None:
        """Nothing: the backbone is written when all is done."""

    def checkpoint(self, progress: Progress) -> None:
        """Make it possible to resume from here."""
        self.resuming.save(progress, self.pretraining.model, self.optimiser)

    def complete_checkpoint(self, progress: Progress) -> None:
        """Note in the checkpoint that nothing is left to do at its step."""
        self.resuming.complete(progress)

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
        if self.resuming.workers.first:
            write_json(
                self.resuming.run.broken_batch_file, {"step": progress.step, "epoch": epoch.number, "windows": held}
            )
