"""A run's answers to unlabelled questions, and each as the label of its question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from qakit.data.splits import Split
from qakit.errors import DataError, RunError
from qakit.files import file_sha256, write_json
from qakit.inference.nbest_file import read_nbest
from qakit.inference.output import save_predictions
from qakit.inference.trained import TrainedRun
from qakit.registry import Registry
from qakit.runs import Run
from qakit.training.events import Listener, Predicting, Preparing
from qakit.values import Answer, ContextPrediction, Example, LabelPrediction, Prediction, SpanPrediction

PREFIX = "pseudo:"
"""Before the ids of pseudo-labelled examples."""
DECISION = "decision_sha256"
"""In the meta.json of kept answers, which weights gave them."""


def predictions_for(
    run: Run, registry: Registry, questions: Split, *, device: torch.device, cache: Path, listener: Listener
) -> dict[str, Prediction]:
    """The run's answers by id: those that it keeps of exactly this file, or new ones, which are then kept.

    What is kept serves until the run has other weights: it may have been interrupted, and gone on with since.

    Raises:
        RunError: there are none, and the run has no model to give them.
    """
    digest = file_sha256(questions.files[0])
    own = run.predictions / f"pseudo-{digest[:12]}"
    for folder in (run.predictions, run.predictions / "test", own):
        if _answers(run, folder, digest):
            return {each.id: each for each in read_nbest(folder / "nbest.jsonl")}
    if not run.model.is_dir():
        raise RunError(
            f"pseudo.from_run: {run.folder} has neither answers to {questions.files[0]} nor a model of its own to give "
            "them: name one of the runs that it is made of, or make it answer that file as its data.test"
        )
    listener(Preparing(f"labelling with {run.folder}"))
    trained = TrainedRun.load(run.folder, registry=registry, device=device)
    inferred = trained.infer(
        questions.examples, cache=cache, progress=lambda done, total: listener(Predicting(done, total))
    )
    inputs = {str(questions.files[0]): digest}
    save_predictions(own, inferred.predictions, trained.recipe, run=run.name, inputs=inputs)
    write_json(own / "meta.json", {**run.read_json(own / "meta.json"), DECISION: _decision(run)})
    return {each.id: each for each in inferred.predictions}


def _answers(run: Run, folder: Path, digest: str) -> bool:
    """Whether a folder of the run holds its answers to just this file, by the weights that it has, if it has any."""
    meta, decision = run.read_json(folder / "meta.json"), _decision(run)
    inputs = meta.get("inputs")
    if not (folder / "nbest.jsonl").is_file() or not isinstance(inputs, dict) or list(inputs.values()) != [digest]:
        return False
    return decision is None or meta.get(DECISION, decision) == decision


def _decision(run: Run) -> str | None:
    """A hash of what was decided with the weights, their step among it; None for a run without a model."""
    return file_sha256(run.decision_file) if run.decision_file.is_file() else None


def labelled_by(example: Example, prediction: Prediction, run: Run) -> tuple[float, Example | None]:
    """How sure the chosen answer is (its calibrated probability), and the example with it as its label.

    Returns:
        None in place of an example that could not be trained on: the answer has no place in its context.

    Raises:
        DataError: the run does not say how sure it is, or its answer is of another text.
    """
    fresh = replace(example, id=f"{PREFIX}{example.id}", answers=None, label=None, relevant=None)
    if isinstance(prediction, LabelPrediction):
        if not prediction.scores:
            raise DataError(f"pseudo: {run.folder} gives numbers, and says not how sure it is of them")
        return max(prediction.scores), replace(fresh, label=prediction.label)
    if isinstance(prediction, ContextPrediction):
        return max(prediction.scores, default=0.0), replace(fresh, relevant=prediction.context)
    return _with_span(fresh, prediction, run)


def _with_span(fresh: Example, prediction: SpanPrediction, run: Run) -> tuple[float, Example | None]:
    best = prediction.best
    if not prediction.answer and prediction.null is not None:
        return prediction.null.probability, replace(fresh, answers=())
    if not prediction.answer or best is None or best.start is None or best.end is None:
        return 0.0, None
    if best.context >= len(fresh.contexts) or fresh.contexts[best.context][best.start : best.end] != best.text:
        problem = f"the answer of {run.folder} is of another text: predict the file again"
        raise DataError(problem, row=f"id {prediction.id}")
    answer = Answer(best.text, best.start, best.context)
    several = len(fresh.contexts) > 1
    return best.probability, replace(fresh, answers=(answer,), relevant=best.context if several else None)
