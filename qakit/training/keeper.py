"""Evaluating while training, keeping the best weights, writing checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from qakit.inference.characters import CharacterScores
from qakit.inference.collectors import Scores
from qakit.inference.evaluation import Evaluation, Judge, evaluate, fixed_threshold
from qakit.inference.output import save_predictions
from qakit.inference.scoring import ScoringSet, characters_of, score
from qakit.inference.workers import Workers
from qakit.modeling.device import Precision
from qakit.modeling.folder import save_model
from qakit.recipe.model import Recipe
from qakit.runs import Run, write_json
from qakit.training.checkpoints import Progress, save_checkpoint
from qakit.training.events import CheckpointWritten, Evaluated, Listener, Notice, Predicting
from qakit.training.feed import Epoch
from qakit.training.journal import Journal
from qakit.training.sharding import Trainee
from qakit.training.soup import Candidate, Soup, candidates, greedy_soup, keep_candidate, overwrite, set_aside
from qakit.values import Example


class Refresh(Protocol):
    """Brings a trainee up to date; ``moments``: its optimiser's, too. All processes do this together."""

    def __call__(self, *, moments: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class RunKeeper:
    """Keeps a run's folder up to date. Only the first process writes."""

    recipe: Recipe
    recipe_hash: str
    run: Run
    trainee: Trainee
    """If there is a moving average, it is what is judged and kept."""
    refresh: Refresh
    """Where the processes hold parts only: fills the trainee from them."""
    accelerator: Accelerator
    workers: Workers
    precision: Precision
    validation: ScoringSet | None
    validation_inputs: Mapping[str, str]
    """The validation files with their hashes."""
    examples: Sequence[Example]
    """The training examples, in the order of their windows' numbers."""
    judge: Judge
    journal: Journal
    listener: Listener

    def evaluate(self, progress: Progress, *, epoch: float) -> Progress:
        """Judge the weights, or their average, and keep the best."""
        self.refresh(moments=False)
        average = self.trainee.average
        with nullcontext() if average is None else average.in_place():
            return self._evaluate(progress, epoch=epoch)

    def _evaluate(self, progress: Progress, *, epoch: float) -> Progress:
        """Judge the weights on validation; the best so far go to ``model/``. Without validation the latest go there."""
        if self.validation is None:
            with self.workers.one_fate():
                self._save_model(progress, {"null_threshold": fixed_threshold(self.recipe) or 0.0})
            return progress
        began = time.perf_counter()
        scores = self._score(self.validation)
        evaluation = self._judge(self.validation, scores)
        # Machines may differ in a last bit; what follows must be decided alike.
        value = self.workers.from_first(evaluation.figures[self.judge.selected_by])
        better = progress.best is None or value > progress.best
        progress = replace(
            progress,
            best=value if better else progress.best,
            best_step=progress.step if better else progress.best_step,
            without_gain=0 if better else progress.without_gain + 1,
            evaluations=progress.evaluations + 1,
        )
        with self.workers.one_fate():
            if better:
                self._save_model(progress, decision_of(evaluation))
                self._save_predictions(evaluation, characters_of(self.validation, scores))
            self._keep_candidate(progress.step, value)
        self.report(progress, evaluation, epoch=epoch, best=better, seconds=time.perf_counter() - began)
        return progress

    def _keep_candidate(self, step: int, value: float) -> None:
        section = self.recipe.train.soup
        if section is not None and self.workers.first:
            weights = self.trainee.parameters()
            keep_candidate(self.run.soup, weights, step=step, value=value, keep=section.candidates)

    def finish(self, progress: Progress, *, epoch: float) -> None:
        """Cook the soup, if the recipe wants one. It takes the best weights' place in ``model/`` if it is no worse."""
        if self.recipe.train.soup is None:
            return
        began = time.perf_counter()
        with self.workers.one_fate():
            ranked = candidates(self.run.soup) if self.workers.first else []
        ranked, weights = self.workers.from_first(ranked), self.trainee.parameters()
        if not ranked:
            self.listener(Notice(f"soup: no weights in {self.run.soup} can be read, so none are averaged"))
            return
        with set_aside(weights):
            soup = greedy_soup(ranked, self._judge_weights)
            overwrite(weights, soup.weights)
            self._keep_soup(soup, ranked, progress, epoch=epoch)
        self.journal.timing(type="soup", step=progress.step, seconds=time.perf_counter() - began)

    def _judge_weights(self, weights: Mapping[str, Tensor]) -> tuple[float, tuple[Evaluation, CharacterScores | None]]:
        assert self.validation is not None
        overwrite(self.trainee.parameters(), weights)
        scores = self._score(self.validation)
        evaluation = self._judge(self.validation, scores)
        value = self.workers.from_first(evaluation.figures[self.judge.selected_by])
        return value, (evaluation, characters_of(self.validation, scores))

    def _keep_soup(
        self,
        soup: Soup[tuple[Evaluation, CharacterScores | None]],
        ranked: Sequence[Candidate],
        progress: Progress,
        *,
        epoch: float,
    ) -> None:
        steps, before = [each.step for each in soup.chosen], ranked[0].value
        said: dict[str, Any] = {"steps": steps, "before": before, "after": soup.value}
        if soup.outcome is not None:
            evaluation, characters = soup.outcome
            with self.workers.one_fate():
                self._save_model(progress, {**decision_of(evaluation), "step": steps[0], "soup": said})
                self._save_predictions(evaluation, characters)
            said["figures"] = evaluation.figures
        tried = {str(each.step): each.value for each in ranked}
        self.journal.metrics(type="soup", step=progress.step, epoch=epoch, candidates=tried, **said)
        self.listener(Notice(_told(soup, ranked, self.judge.selected_by)))

    def judge_now(self) -> Evaluation:
        """Figures of the present weights on the validation examples."""
        assert self.validation is not None
        self.refresh(moments=False)
        return self._judge(self.validation, self._score(self.validation))

    def _score(self, validation: ScoringSet) -> Scores:
        began = time.perf_counter()
        scores = score(
            validation,
            self.trainee.assembled,
            device=self.accelerator.device,
            precision=self.precision,
            workers=self.workers,
            progress=lambda done, total: self.listener(Predicting(done, total)),
            notice=lambda text: self.listener(Notice(text)),
        )
        self.journal.timing(type="scoring", windows=len(validation.windows), seconds=time.perf_counter() - began)
        return scores

    def _judge(self, validation: ScoringSet, scores: Scores) -> Evaluation:
        return evaluate(validation, scores, self.judge, null_threshold=fixed_threshold(self.recipe), temperature=None)

    def report(self, progress: Progress, evaluation: Evaluation, *, epoch: float, best: bool, seconds: float) -> None:
        """Note an evaluation in the logs and tell the listener."""
        self.journal.metrics(type="evaluation", step=progress.step, epoch=epoch, **evaluation.figures)
        self.journal.timing(type="evaluation", step=progress.step, seconds=seconds)
        self.listener(Evaluated(progress.step, epoch, evaluation.figures, best, self.judge.selected_by, seconds))

    def checkpoint(self, progress: Progress) -> None:
        """Write a checkpoint; the journal is on disk up to here before it."""
        self.refresh(moments=True)
        with self.workers.one_fate():
            if self.workers.first:
                self._checkpoint(progress)

    def _checkpoint(self, progress: Progress) -> None:
        scaler = self.accelerator.scaler
        folder = save_checkpoint(
            self.run.checkpoints,
            model=self.trainee.assembled.model,
            optimiser=self.trainee.optimiser,
            average=self.trainee.average,
            progress=replace(progress, metrics_bytes=self.journal.size()),
            scaler=None if scaler is None else scaler.state_dict(),
            recipe_hash=self.recipe_hash,
            keep=self.recipe.train.keep_checkpoints,
        )
        self.listener(CheckpointWritten(progress.step, folder))

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

    def _save_predictions(self, evaluation: Evaluation, characters: CharacterScores | None) -> None:
        if self.workers.first:
            save_predictions(
                self.run.validation_predictions,
                evaluation.predictions,
                self.recipe,
                run=self.run.name,
                inputs=self.validation_inputs,
                characters=characters,
            )

    def _save_model(self, progress: Progress, decision: Mapping[str, Any]) -> None:
        if self.workers.first:
            save_model(
                self.trainee.assembled,
                self.run.model,
                decision={"step": progress.step, **decision},
                keep=self.recipe.train.keep,
                backbone=self.recipe.backbone,
            )


def decision_of(evaluation: Evaluation) -> dict[str, Any]:
    """What was tuned together with weights, and their figures: for ``decision.json``."""
    return {
        "null_threshold": evaluation.null_threshold,
        "temperature": evaluation.temperature,
        "calibration": None if evaluation.calibration is None else asdict(evaluation.calibration),
        "figures": evaluation.figures,
    }


def _told(soup: Soup[Any], ranked: Sequence[Candidate], metric: str) -> str:
    if soup.outcome is None:
        return f"soup: the weights of step {ranked[0].step} stay alone: none of {len(ranked) - 1} others helps them"
    steps = ", ".join(str(each.step) for each in soup.chosen)
    return f"soup: the average of the weights of steps {steps}: {metric} {ranked[0].value:.2f} -> {soup.value:.2f}"
