"""Evaluating while training, keeping the best weights, writing checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qakit.distributed import Workers
from qakit.files import write_json
from qakit.inference.evaluation import fixed_threshold
from qakit.inference.output import save_predictions
from qakit.modeling.folder import save_model
from qakit.recipe.model import Recipe
from qakit.runs import Run
from qakit.training.checkpoints import Progress, Resuming
from qakit.training.evaluator import Evaluator, Judged, decision_of
from qakit.training.events import Evaluated, Listener, Notice
from qakit.training.feed import Epoch
from qakit.training.journal import Journal
from qakit.training.sharding import Trainee
from qakit.training.soup import candidates, cook, keep_candidate
from qakit.values import Example


class Refresh(Protocol):
    """Brings a trainee up to date; ``moments``: its optimiser's, too. All processes do this together."""

    def __call__(self, *, moments: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class RunKeeper:
    """Keeps a run's folder up to date. Only the first process writes."""

    recipe: Recipe
    trainee: Trainee
    """If there is a moving average, it is what is judged and kept."""
    refresh: Refresh
    """Where the processes hold parts only: fills the trainee from them."""
    evaluator: Evaluator | None
    """Of the trainee's model; None without validation examples."""
    resuming: Resuming
    validation_inputs: Mapping[str, str]
    """The validation files with their hashes."""
    examples: Sequence[Example]
    """The training examples, in the order of their windows' numbers."""

    @property
    def run(self) -> Run:
        """The run's folder."""
        return self.resuming.run

    @property
    def workers(self) -> Workers:
        """The processes of the training."""
        return self.resuming.workers

    @property
    def journal(self) -> Journal:
        """The run's logs."""
        return self.resuming.journal

    @property
    def listener(self) -> Listener:
        """Who watches."""
        return self.resuming.listener

    def evaluate_untrained(self, progress: Progress) -> None:
        """Judge what a training begins with; nothing is kept."""
        if self.evaluator is None:
            return
        began = time.perf_counter()
        self.refresh(moments=False)
        self._report(progress, self.evaluator.now(), best=False, seconds=time.perf_counter() - began)

    def evaluate(self, progress: Progress) -> Progress:
        """Judge the weights, or their average, and keep the best."""
        self.refresh(moments=False)
        average = self.trainee.average
        with nullcontext() if average is None else average.in_place():
            return self._evaluate(progress)

    def _evaluate(self, progress: Progress) -> Progress:
        """Judge the weights on validation; the best so far go to ``model/``. Without validation the latest go there."""
        if self.evaluator is None:
            with self.workers.fail_together():
                threshold = fixed_threshold(self.recipe) or 0.0
                self._save_model({"step": progress.step, "null_threshold": threshold})
            return progress
        began = time.perf_counter()
        judged = self.evaluator.now()
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
        with self.workers.fail_together():
            self._keep_candidate(progress.step, judged.value)
        self._report(progress, judged, best=better, seconds=time.perf_counter() - began)
        return progress

    def _keep_candidate(self, step: int, value: float) -> None:
        section = self.recipe.train.soup
        if section is not None and self.workers.first:
            weights = self.trainee.parameters()
            keep_candidate(self.run.soup, weights, step=step, value=value, keep=section.candidates)

    def combine_kept(self, progress: Progress) -> None:
        """Cook the soup, if the recipe wants one. It takes the best weights' place in ``model/`` if it is no worse."""
        if self.recipe.train.soup is None or self.evaluator is None:
            return
        began = time.perf_counter()
        with self.workers.fail_together():
            ranked = candidates(self.run.soup) if self.workers.first else []
        ranked = self.workers.from_first(ranked)
        if not ranked:
            self.listener(Notice(f"soup: no weights in {self.run.soup} can be read, so none are averaged"))
            return
        cook(ranked, self.trainee.parameters(), self.evaluator, self._keep, step=progress.step, epoch=progress.epochs)
        self.journal.timing(type="soup", step=progress.step, seconds=time.perf_counter() - began)

    def _report(self, progress: Progress, judged: Judged, *, best: bool, seconds: float) -> None:
        """Note an evaluation in the logs and tell the listener."""
        assert self.evaluator is not None
        figures, by, epoch = judged.evaluation.figures, self.evaluator.judge.selected_by, progress.epochs
        self.journal.metrics(type="evaluation", step=progress.step, epoch=epoch, **figures)
        self.journal.timing(type="evaluation", step=progress.step, seconds=seconds)
        self.listener(Evaluated(progress.step, epoch, figures, best, by, seconds))

    def checkpoint(self, progress: Progress) -> None:
        """Write a checkpoint."""
        self.refresh(moments=True)
        trainee = self.trainee
        self.resuming.save(progress, trainee.assembled.model, trainee.optimiser, trainee.average)

    def complete_checkpoint(self, progress: Progress) -> None:
        """Note in the checkpoint that was written before an evaluation what came of it."""
        self.resuming.complete(progress)

    def save_batch(self, epoch: Epoch, rows: NDArray[np.int64], progress: Progress) -> None:
        """Write the examples of a batch to ``broken-batch.json``, with the tokens that each window holds of them."""
        windows = epoch.windows
        if self.workers.first:
            held = [
                {
                    "id": self.examples[windows.example[row]].id,
                    "question": self.examples[windows.example[row]].question,
                    "first_token": int(windows.first[windows.pointers[row]]),
                    "stop_token": int(windows.stop[windows.pointers[row + 1] - 1]),
                }
                for row in rows.tolist()
            ]
            write_json(self.run.broken_batch_file, {"step": progress.step, "epoch": epoch.number, "windows": held})

    def _keep(self, judged: Judged, where: Mapping[str, Any]) -> None:
        """Write the model with the weights that it has, what was decided with them, and the answers that they give."""
        with self.workers.fail_together():
            self._save_model({**where, **decision_of(judged.evaluation)})
            if self.workers.first:
                save_predictions(
                    self.run.validation_predictions,
                    judged.evaluation.predictions,
                    self.recipe,
                    run=self.run.name,
                    inputs=self.validation_inputs,
                    characters=judged.characters,
                )

    def _save_model(self, decision: Mapping[str, Any]) -> None:
        if self.workers.first:
            save_model(
                self.trainee.assembled,
                self.run.model,
                decision=decision,
                keep=self.recipe.train.keep,
                backbone=self.recipe.backbone,
            )
