"""What the weights of a training are worth on its validation examples."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from qakit.distributed import Workers
from qakit.inference.characters import CharacterScores
from qakit.inference.evaluation import Evaluation, Judge, evaluate, fixed_threshold
from qakit.inference.scoring import ScoringSet, characters_of, score
from qakit.modeling.assemble import Assembled
from qakit.modeling.device import Precision
from qakit.recipe.model import Recipe
from qakit.training.events import Listener, Notice, Predicting
from qakit.training.journal import Journal


@dataclass(frozen=True, slots=True)
class Judged:
    """An evaluation of weights."""

    value: float
    """Of the metric that decides which weights are kept, the same in all processes; larger is better."""
    evaluation: Evaluation
    characters: CharacterScores | None


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Judges a model with the weights that it has. All processes do this together."""

    recipe: Recipe
    assembled: Assembled
    validation: ScoringSet
    judge: Judge
    device: torch.device
    precision: Precision
    workers: Workers
    journal: Journal
    listener: Listener

    def now(self) -> Judged:
        """Score and judge the validation examples."""
        began = time.perf_counter()
        scores = score(
            self.validation,
            self.assembled,
            device=self.device,
            precision=self.precision,
            workers=self.workers,
            progress=lambda done, total: self.listener(Predicting(done, total)),
            notice=lambda text: self.listener(Notice(text)),
        )
        self.journal.timing(type="scoring", windows=len(self.validation.windows), seconds=time.perf_counter() - began)
        threshold = fixed_threshold(self.recipe)
        evaluation = evaluate(self.validation, scores, self.judge, null_threshold=threshold, temperature=None)
        # Machines may differ in a last bit; what follows must be decided alike.
        value = self.workers.from_first(evaluation.figures[self.judge.selected_by])
        return Judged(value, evaluation, characters_of(self.validation, scores))


def decision_of(evaluation: Evaluation) -> dict[str, Any]:
    """What was tuned together with weights, and their figures: for ``decision.json``."""
    return {
        "null_threshold": evaluation.null_threshold,
        "temperature": evaluation.temperature,
        "calibration": None if evaluation.calibration is None else asdict(evaluation.calibration),
        "figures": evaluation.figures,
    }
