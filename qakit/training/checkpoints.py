"""Checkpoints without pickle: what a training needs to continue exactly where it was.

Randomness is addressed by (seed, epoch, step), the learning rate is a function of the step, so a checkpoint is the
trainable weights, AdamW's moments, and a few numbers. Each is a folder that appears whole or not at all; a manifest of
hashes in ``state.json`` tells a damaged one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file

from qakit.distributed import Workers
from qakit.errors import RunError
from qakit.files import check_readable, file_sha256, json_text, replace_folder, write_text
from qakit.modeling.model import ReadingModel
from qakit.names import plain_name
from qakit.numbers import load_json
from qakit.runs import Run, checkpoints_in
from qakit.temporary import remove_leftovers
from qakit.training.averaging import WeightAverage
from qakit.training.events import CheckpointWritten, Listener, Notice, Preparing
from qakit.training.journal import Journal
from qakit.training.optim import trained

FORMAT = 2
AVERAGE = "average.safetensors"
STATE = "state.json"
SHARED = ("qmap1", "qmap2")
"""What 8-bit AdamW holds once for all parameters; a file has a copy for each."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is."""

    step: int = 0
    """Optimiser steps done."""
    epoch: int = 0
    """The epoch that is under way, from 0."""
    batch: int = 0
    """Batches of that epoch done."""
    epochs: float = 0.0
    """Epochs done, with the part of the one that is under way, as the logs say it (6 places)."""
    to_evaluate: bool = False
    """An evaluation is due after this step, and not finished."""
    best: float | None = None
    """Best value of the selection metric so far."""
    best_step: int = 0
    without_gain: int = 0
    """Evaluations since the best one."""
    evaluations: int = 0
    loss_sum: float = 0.0
    """Sum of the losses of the steps since the last logged one."""
    unlogged: int = 0
    """Number of these steps."""
    skipped: int = 0
    """Those of them that were left out because they were not finite."""
    skipped_in_a_row: int = 0
    """Steps left out up to here without one between them that was done."""
    accumulation: int = 0
    """Parts of a step since memory ran out; 0 for the recipe's."""
    pace: Sequence[float] | None = None
    """The :class:`~qakit.training.plan.Pace` at which the schedule is gone through; None for the recipe's own."""
    metrics_bytes: int = 0
    """Length of metrics.jsonl when the checkpoint was written; what follows is cut off on resume."""


def save_checkpoint(
    root: Path,
    *,
    model: ReadingModel,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None = None,
    progress: Progress,
    scaler: dict[str, Any] | None,
    recipe_hash: str,
    keep: int,
    frozen: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``root/step-NNNNNNNN`` and remove all but the last ``keep``.

    Args:
        frozen: see :class:`Resuming`.
    """
    folder = _folder(root, progress)
    remove_leftovers(root)
    with replace_folder(folder) as temporary:
        weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        buffers = {f"buffer:{name}": b.detach().cpu().contiguous() for name, b in model.named_buffers()}
        save_file(weights | buffers, temporary / "model.safetensors")
        save_file(_moments(optimiser), temporary / "optimiser.safetensors")
        if average is not None:
            save_file(average.state(), temporary / AVERAGE)
        state = {
            "format": FORMAT,
            "recipe": recipe_hash,
            "frozen": frozen,
            "progress": asdict(progress),
            "scaler": scaler,
            "sha256": {file.name: file_sha256(file) for file in sorted(temporary.glob("*.safetensors"))},
        }
        (temporary / STATE).write_text(_state_text(state), "utf-8")
    folders = [each for each in checkpoints_in(root) if (each / STATE).is_file()]  # no others are ours to remove
    place = folders.index(folder)
    for old in folders[place + 1 :] + folders[: place + 1][:-keep]:  # those after it were damaged, or not resumed from
        shutil.rmtree(old, ignore_errors=True)
    return folder


def update_progress(root: Path, progress: Progress) -> None:
    """Replace the progress in the checkpoint of its step, whose weights and moments still hold.

    Raises:
        OutputError: the file system refuses; the checkpoint is what it was.
    """
    file = _folder(root, progress) / STATE
    write_text(file, _state_text(load_json(file.read_text("utf-8")) | {"progress": asdict(progress)}))


def of_recipe(root: Path, recipe_hash: str) -> None:
    """Let the checkpoints be those of a recipe whose values are the same, with files under other names."""
    for file in (folder / STATE for folder in checkpoints_in(root)):
        write_text(file, _state_text(load_json(file.read_text("utf-8")) | {"recipe": recipe_hash}))


def latest_checkpoint(root: Path, *, warn: Callable[[str], None]) -> Path | None:
    """The newest whole checkpoint, or None if there is none; ``warn`` is called for damaged ones, which are skipped.

    Raises:
        RunError: one may not be read; or there are checkpoints, and all of them are damaged. To begin again would
            overwrite what they were part of, so that is for the user to say.
    """
    damage = None
    check_readable(root)
    for folder in reversed(checkpoints_in(root)):
        check_readable(folder)
        damage = _damage(folder)
        if damage is None:
            return folder
        warn(f"{folder} is damaged ({damage}) and is skipped")
    if damage is None:
        return None
    raise RunError(
        f"no checkpoint in {root} is whole (the oldest: {damage}); the best weights so far may still be in "
        f"{root.parent / 'model'}. To begin again from the first step, remove {root} and give the same command"
    )


def load_checkpoint(
    folder: Path,
    *,
    model: ReadingModel,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None = None,
    recipe_hash: str,
) -> tuple[Progress, dict[str, Any] | None]:
    """Put weights and moments back; returns the progress and the state of the fp16 loss scaler.

    Raises:
        RunError: the checkpoint belongs to another recipe or another set of trainable parameters.
    """
    state = load_json((folder / STATE).read_text("utf-8"))
    if state["recipe"] != recipe_hash:
        raise RunError(f"{folder} was written by another recipe: resume with the run's own recipe.yaml unchanged")
    stored = load_file(folder / "model.safetensors")
    targets: dict[str, torch.Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    targets |= {f"buffer:{name}": b for name, b in model.named_buffers()}
    if set(stored) != set(targets):
        raise RunError(f"{folder} holds other trainable parameters than this model")
    with torch.no_grad():
        for name, tensor in targets.items():
            tensor.copy_(stored[name])
    _restore_moments(optimiser, load_file(folder / "optimiser.safetensors"))
    if average is not None:
        average.load(load_file(folder / AVERAGE))
    return Progress(**state["progress"]), state["scaler"]


def _check_frozen(folder: Path, now: Mapping[str, Any] | None) -> None:
    """Refuse to put trained weights over other frozen ones than those that they were trained over."""
    before = load_json((folder / STATE).read_text("utf-8")).get("frozen")
    if before is not None and now is not None and before["sha256"] != now["sha256"]:
        raise RunError(
            f"{folder} was trained over other weights of the backbone {now['source']!r} than there are now, and holds "
            "only what is trained: put them back, or begin anew in another folder"
        )


def _moments(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """All that an optimiser keeps of each parameter, whatever it is; whole numbers as tensors without dimensions."""
    return {
        f"{key}:{name}": torch.as_tensor(value.clone() if key in SHARED else value).detach().cpu().contiguous()
        for name, parameter in trained(optimiser).items()
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def _restore_moments(optimiser: torch.optim.Optimizer, held: dict[str, torch.Tensor]) -> None:
    parameters = trained(optimiser)
    for parameter in parameters.values():
        optimiser.state[parameter] = {}
    for place, value in held.items():
        key, _, name = place.partition(":")
        is_count = value.dtype == torch.int64 and not value.ndim
        optimiser.state[parameters[name]][key] = int(value) if is_count else value.to(parameters[name].device)


def _damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder, or None."""
    try:
        state = load_json((folder / STATE).read_text("utf-8"))
        if state["format"] != FORMAT:
            return f"format {state['format']}, this version reads {FORMAT}"
        if state["check"] != _check(state):
            return "state.json has changed since it was written"
        Progress(**state["progress"])
        for name, expected in state["sha256"].items():
            if file_sha256(folder / plain_name(name)) != expected:
                return f"{name} has changed since it was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return str(error)
    return None


def _folder(root: Path, progress: Progress) -> Path:
    return root / f"step-{progress.step:08d}"


def _state_text(state: dict[str, Any]) -> str:
    """What ``state.json`` holds, with a hash of itself."""
    return json_text(state | {"check": _check(state)})


def _check(state: dict[str, Any]) -> str:
    """A hash of what the state says, its own hash aside: a number that has changed still reads as a number."""
    rest = {key: value for key, value in state.items() if key != "check"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode("utf-8")).hexdigest()


@dataclass(frozen=True, slots=True)
class Resuming:
    """What a training continues from when it is broken off. All processes do this together; the first one writes."""

    run: Run
    digest: str
    """Of what the training is made of: a checkpoint of another one is refused."""
    keep: int
    """How many checkpoints stay."""
    accelerator: Accelerator
    workers: Workers
    journal: Journal
    listener: Listener
    frozen: Mapping[str, Any] | None = None
    """Of the first process: the backbone's source with the hashes of its files, where checkpoints lack weights of it
    because only others are trained."""

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
            RunError: all checkpoints are damaged, or they are of another training, or of other weights of the backbone.
        """
        checkpoint = None
        with self.workers.fail_together():
            if resume and self.workers.first:
                root = self.run.checkpoints
                checkpoint = latest_checkpoint(root, warn=lambda text: self.listener(Notice(text)))
                if checkpoint is not None:
                    _check_frozen(checkpoint, self.frozen)
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
                    frozen=self.frozen,
                )
                self.listener(CheckpointWritten(progress.step, folder))

    def complete(self, progress: Progress) -> None:
        """Replace the progress in this step's checkpoint; the journal is on disk up to here before it."""
        with self.workers.fail_together():
            if self.workers.first:
                update_progress(self.run.checkpoints, replace(progress, metrics_bytes=self.journal.size()))
