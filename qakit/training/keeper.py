"""Evaluating while training, keeping the best weights, writing checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from qakit.data.arrays import Int64
from qakit.files import write_json
from qakit.inference.evaluation import fixed_threshold
from qakit.inference.inputs import Inputs
from qakit.inference.output import save_predictions
from qakit.modeling.folder import save_model
from qakit.runs import VALIDATION_LOSS
from qakit.training.checkpoints import Progress, Resuming
from qakit.training.evaluator import Judged, decision_of, judge
from qakit.training.events import Evaluated, Notice, Remark
from qakit.training.feed import Epoch
from qakit.training.prepare import Prepared
from qakit.training.sharding import Trainee, gather
from qakit.training.soup import candidates, cook, keep_candidate
from qakit.training.validation_loss import validation_loss


@dataclass(frozen=True, slots=True)
class RunKeeper:
    """Keeps a run's folder up to date. Only the first process writes."""

    prepared: Prepared
    trainee: Trainee
    """If there is a moving average, it is what is judged and kept."""
    trained: Trainee
    """What the loop trains; where the processes hold parts only, the trainee is filled from them."""
    resuming: Resuming
    validation_inputs: Inputs
    """The validation files."""

    def evaluate_untrained(self, progress: Progress) -> None:
        """Judge what a training begins with; nothing is kept."""
        if self.prepared.validation is None:
            return
        began = time.perf_counter()
        gather(self.trained, self.trainee, moments=False)
        self._report(progress, judge(self.prepared, self.resuming), best=False, began=began)

    def evaluate(self, progress: Progress) -> Progress:
        """Judge the weights, or their average, and keep the best."""
        gather(self.trained, self.trainee, moments=False)
        average = self.trainee.average
        with nullcontext() if average is None else average.in_place():
            return self._evaluate(progress)

    def _evaluate(self, progress: Progress) -> Progress:
        """Judge the weights on validation; the best so far go to ``model/``. Without validation the latest go there."""
        if self.prepared.validation is None:
            with self.resuming.workers.fail_together():
                threshold = fixed_threshold(self.prepared.recipe) or 0.0
                self._save_model({"step": progress.step, "null_threshold": threshold})
            return progress
        began = time.perf_counter()
        judged = judge(self.prepared, self.resuming)
        better = progress.best is None or judged.value > progress.best
        progress = replace(
            progress,
            best=judged.value if better else progress.best,
            best_step=progress.step if better else progress.best_step,
            without_gain=0 if better else progress.without_gain + 1,
            evaluations=progress.evaluations + 1,
        )
        if better:
            self._keep(judged, {"step": progress.step})
        with self.resuming.workers.fail_together():
            self._keep_candidate(progress.step, judged.value)
        self._report(progress, judged, best=better, began=began)
        return progress

    def _keep_candidate(self, step: int, value: float) -> None:
        section = self.prepared.recipe.train.soup
        if section is not None and self.resuming.workers.first:
            weights = self.trainee.parameters()
            keep_candidate(self.resuming.run.soup, weights, step=step, value=value, keep=section.candidates)

    def combine_kept(self, progress: Progress) -> None:
        """Cook the soup, if the recipe wants one. It takes the best weights' place in ``model/`` if it is no worse."""
        if self.prepared.recipe.train.soup is None or self.prepared.validation is None:
            return
        began = time.perf_counter()
        with self.resuming.workers.fail_together():
            ranked = candidates(self.resuming.run.soup) if self.resuming.workers.first else []
        ranked = self.resuming.workers.from_first(ranked)
        if not ranked:
            self.resuming.listener(
                Notice(f"soup: no weights in {self.resuming.run.soup} can be read, so none are averaged")
            )
            return
        said, told = cook(
            ranked,
            self.trainee.parameters(),
            partial(judge, self.prepared, self.resuming),
            self._keep,
            metric=self.prepared.judge.selected_by,
        )
        self.resuming.journal.metrics(type="soup", step=progress.step, epoch=progress.epochs, **said)
        self.resuming.listener(Remark(told))
        self.resuming.journal.timing(type="soup", step=progress.step, seconds=time.perf_counter() - began)

    def _report(self, progress: Progress, judged: Judged, *, best: bool, began: float) -> None:
        """Measure the validation loss, note the evaluation in the logs and tell the listener."""
        figures, by, epoch = judged.evaluation.figures, self.prepared.judge.selected_by, progress.epochs
        if (loss := self._validation_loss()) is not None:
            figures = {**figures, VALIDATION_LOSS: loss}
        seconds = time.perf_counter() - began
        self.resuming.journal.metrics(type="evaluation", step=progress.step, epoch=epoch, **figures)
        self.resuming.journal.timing(type="evaluation", step=progress.step, seconds=seconds)
        self.resuming.listener(Evaluated(progress.step, epoch, figures, best, by, seconds))

    def _validation_loss(self) -> float | None:
        """Of the weights that the model has, or None where it is not wanted. All processes do this together."""
        if self.prepared.validation_windows is None:
            return None
        return validation_loss(
            self.prepared.validation_windows,
            self.prepared.assembled.model,
            device=self.resuming.accelerator.device,
            precision=self.prepared.precision,
            workers=self.resuming.workers,
        )

    def checkpoint(self, progress: Progress) -> None:
        """Write a checkpoint."""
        gather(self.trained, self.trainee, moments=True)
        trainee = self.trainee
        self.resuming.save(progress, trainee.assembled.model, trainee.optimiser, trainee.average)

    def complete_checkpoint(self, progress: Progress) -> None:
        """Note in the checkpoint that was written before an evaluation what came of it."""
        self.resuming.complete(progress)

    def save_batch(self, epoch: Epoch, rows: Int64, progress: Progress) -> None:
        """Write the examples of a batch to ``broken-batch.json``, with the tokens that each window holds of them."""
        windows, examples = epoch.windows, self.prepared.train_split.examples
        if self.resuming.workers.first:
            held = [
                {
                    "id": examples[windows.example[row]].id,
                    "question": examples[windows.example[row]].question,
                    "first_token": int(windows.first[windows.pointers[row]]),
                    "stop_token": int(windows.stop[windows.pointers[row + 1] - 1]),
                }
                for row in rows.tolist()
            ]
            write_json(
                self.resuming.run.broken_batch_file, {"step": progress.step, "epoch": epoch.number, "windows": held}
            )

    def _keep(self, judged: Judged, where: Mapping[str, Any]) -> None:
        """Write the model with the weights that it has, what was decided with them, and the answers that they give."""
        with self.resuming.workers.fail_together():
            self._save_model({**where, **decision_of(judged.evaluation)})
            if self.resuming.workers.first:
                save_predictions(
                    self.resuming.run.validation_predictions,
                    judged.evaluation.predictions,
                    self.prepared.recipe,
                    run=self.resuming.run.name,
                    inputs=self.validation_inputs,
                    characters=judged.characters,
                )

    def _save_model(self, decision: Mapping[str, Any]) -> None:
        if self.resuming.workers.first:
            save_model(
                self.trainee.assembled,
                self.resuming.run.model,
                decision=decision,
                keep=self.prepared.recipe.train.keep,
                backbone=self.prepared.recipe.backbone,
            )
