"""A whole pretraining, through the same loop as fine-tuning: exact resume, accumulation, several processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from qakit.distributed import check_same
from qakit.errors import RunError, UsageError
from qakit.files import recover_files, write_json
from qakit.modeling.adapter_file import origin_of
from qakit.modeling.attention import attention_of
from qakit.modeling.device import keep_freed_memory, resolve_precision
from qakit.modeling.model import parameter_counts
from qakit.modeling.sources import PRETRAINING
from qakit.pretraining.output import CONFIG, is_done, read_note, save_backbone, write_note
from qakit.pretraining.prepare import Pretraining
from qakit.runs import SEEN, Run, alone_in, check_free, environment, forget_training
from qakit.training.checkpoints import Progress, Resuming
from qakit.training.events import Listener, Started
from qakit.training.exchange import share_first
from qakit.training.feed import Epoch
from qakit.training.interrupts import stop_requests
from qakit.training.journal import Journal
from qakit.training.launch import prepared_for, workers_of
from qakit.training.lineage import Lineage
from qakit.training.loop import train
from qakit.training.optim import build_optimiser
from qakit.training.sharding import is_sharded
from qakit.training.tricks import Tricks


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


def check_output(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that holds something else, and one that is done.

    Raises:
        RunError: says what to do.
    """
    if not resume:
        check_free(folder)
    elif read_note(folder) is None:
        raise RunError(f"{folder} holds no pretraining that could be resumed: it has no {PRETRAINING}")
    elif is_done(folder):
        raise RunError(f"{folder} is finished: use it as backbone.source, or choose another --output")


def finished(folder: Path) -> dict[str, Any] | None:
    """The note of a finished pretraining, or None. What one that was killed at its very end left is done first.

    Raises:
        RunError: another process is at work there.
        OutputError: the folder cannot be written.
    """
    note, run = read_note(folder), Run(folder)
    if note is None:
        return None
    with alone_in(run):
        recover_files(folder, last=CONFIG)
        if not is_done(folder):
            return None
        forget_training(run)
    return note


def pretrain(
    pretraining: Pretraining,
    folder: Path,
    *,
    files: Mapping[str, str],
    accelerator: Accelerator,
    resume: bool,
    listener: Listener,
    lineage: Lineage | None = None,
) -> dict[str, Any]:
    """Train and write the backbone into ``folder``; with ``resume`` from its last whole checkpoint.

    Args:
        files: the files that the texts are from, with their hashes, for the note.
        lineage: of a backbone that comes from runs: its folder hands on what these were trained on. The texts of the
            pretraining do not count, since they give no answer away.

    Returns:
        The note of what was done.

    Raises:
        UsageError: the launcher asks for FSDP.
        RunError: the processes have different texts or settings; or the folder's pretraining was another one; or see
            :func:`qakit.training.loop.train`.
        InterruptedTrainingError: a stop was requested; the checkpoint is written.
    """
    if is_sharded(accelerator):
        raise UsageError("qakit pretrain does not go together with FSDP; start it with torchrun alone")
    keep_freed_memory()
    workers, run, model = workers_of(accelerator), Run(folder), pretraining.model
    journal = Journal(run, writes=workers.first)
    optimiser = build_optimiser(model, pretraining.recipe.train)
    note = _note(pretraining, files) | ({} if lineage is None else {"builds_on": dict(lineage.edges)})
    digest = hashlib.sha256(json.dumps(note["made_of"], sort_keys=True).encode("utf-8")).hexdigest()
    check_same(workers, note["made_of"]["settings"], pretraining.feed.encoded, pretraining.plan.first.windows)
    share_first(model)
    with workers.fail_together():
        if workers.first and resume:
            _check_same(folder, note)
        elif workers.first:
            folder.mkdir(parents=True, exist_ok=True)
            write_note(folder, note)
    resuming = Resuming(run, digest, 1, accelerator, workers, journal, listener)
    progress = resuming.restore(model, optimiser, resume=resume)
    prepared, prepared_optimiser = prepared_for(accelerator, model, optimiser)
    listener(_started(pretraining, accelerator, progress))
    with stop_requests() as request:
        progress = train(
            pretraining.recipe,
            pretraining.plan,
            pretraining.feed,
            accelerator=accelerator,
            model=prepared,
            optimiser=prepared_optimiser,
            tricks=Tricks(),
            keeper=PretrainKeeper(pretraining, optimiser, resuming),
            journal=journal,
            progress=progress,
            listener=listener,
            stop_request=request,
        )
    with workers.fail_together():
        if workers.first:
            losses = journal.losses()
            note |= {"steps": progress.step, "loss": {"first": losses[0], "last": losses[-1]} if losses else None}
            write_note(folder, note)
            if lineage is not None:
                lineage.seen.write(folder / SEEN)
            save_backbone(pretraining, folder)
            forget_training(run)
    return note


def text_digest(texts: Sequence[str]) -> str:
    """A hash of all texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def _note(pretraining: Pretraining, files: Mapping[str, str]) -> dict[str, Any]:
    section, store = pretraining.recipe.backbone, pretraining.feed.encoded.store
    return {
        "made_of": {
            "settings": pretraining.settings.model_dump(mode="json"),
            "backbone": section.model_dump(mode="json"),
            "weights": origin_of(section, Path(str(pretraining.config.name_or_path))),
            "texts": text_digest(pretraining.documents),
        },
        "documents": len(pretraining.documents),
        "tokens": len(store.ids),
        "windows": len(pretraining.plan.first.windows),
        "files": dict(files),
        **environment(),
    }


def _check_same(folder: Path, note: Mapping[str, Any]) -> None:
    before = (read_note(folder) or {}).get("made_of", {})
    other = [name for name, value in note["made_of"].items() if before.get(name) != value]
    if other:
        raise RunError(
            f"{folder} was begun with other {' and '.join(other)}: give the same command again, with --resume, or "
            "choose another --output"
        )


def _started(pretraining: Pretraining, accelerator: Accelerator, progress: Progress) -> Started:
    return Started(
        steps=pretraining.plan.steps,
        first_step=progress.step,
        train_examples=len(pretraining.documents),
        train_windows=len(pretraining.plan.first.windows),
        validation_examples=0,
        parameters=parameter_counts(pretraining.model),
        device=str(accelerator.device),
        precision=resolve_precision(pretraining.settings.precision, accelerator.device, pretraining.config.model_type),
        attention=attention_of(pretraining.config),
        unused_weights=(),
        texts="texts",
    )
