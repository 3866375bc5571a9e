"""What the weights of a training are worth on its validation examples."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from qakit.inference.characters import CharacterScores
from qakit.inference.evaluation import Evaluation, evaluate, fixed_threshold
from qakit.inference.scoring import characters_of, score
from qakit.training.checkpoints import Resuming
from qakit.training.events import Notice, Predicting
from qakit.training.prepare import Prepared


@dataclass(frozen=True, slots=True)
class Judged:
    """An evaluation of weights."""

    value: float
    """Of the metric that decides which weights are kept, the same in all processes; larger is better."""
    evaluation: Evaluation
    characters: CharacterScores | None


def judge(prepared: Prepared, resuming: Resuming) -> Judged:
    """Score and judge the validation examples with the weights that the model has. All processes do this together."""
    assert prepared.validation is not None
    began = time.perf_counter()
    scores = score(
        prepared.validation,
        prepared.assembled,
        device=resuming.accelerator.device,
        precision=prepared.precision,
        workers=resuming.workers,
        progress=lambda done, total: resuming.listener(Predicting(done, total)),
        notice=lambda text: resuming.listener(Notice(text)),
    )
    windows, seconds = len(prepared.validation.windows), time.perf_counter() - began
    resuming.journal.timing(type="scoring", windows=windows, seconds=seconds)
    threshold = fixed_threshold(prepared.recipe)
    evaluation = evaluate(prepared.validation, scores, prepared.judge, null_threshold=threshold, temperature=None)
    # Machines may differ in a last bit; what follows must be decided alike.
    value = resuming.workers.from_first(evaluation.figures[prepared.judge.selected_by])
    return Judged(value, evaluation, characters_of(prepared.validation, scores))


def decision_of(evaluation: Evaluation) -> dict[str, Any]:
    """What was tuned together with weights, and their figures: for ``decision.json``."""
    return {
        "null_threshold": evaluation.null_threshold,
        "temperature": evaluation.temperature,
        "calibration": None if evaluation.calibration is None else asdict(evaluation.calibration),
        "figures": evaluation.figures,
    }
