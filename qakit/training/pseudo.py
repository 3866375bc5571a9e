"""Pseudo-labels: sure answers of another run to unlabelled questions, as training examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from qakit.data.checks.repeats import Keys
from qakit.data.splits import Split, read_files
from qakit.errors import DataError, RunError, UsageError
from qakit.inference.nbest_file import read_nbest
from qakit.inference.output import file_sha256, save_predictions
from qakit.inference.trained import TrainedRun
from qakit.recipe.model import Recipe
from qakit.recipe.staged import PseudoSection
from qakit.registry import Registry
from qakit.runs import Run, open_run
from qakit.training.events import Listener, Notice, Predicting, Preparing
from qakit.training.seen import hashes
from qakit.values import Answer, ContextPrediction, Example, LabelPrediction, Prediction, SpanPrediction

PREFIX = "pseudo:"
"""Before the ids of pseudo-labelled examples."""


def with_pseudo_labels(
    recipe: Recipe,
    registry: Registry,
    train: Split,
    validation: Split | None,
    *,
    device: torch.device,
    cache: Path,
    listener: Listener,
) -> Split:
    """The training examples, and behind them those that ``pseudo`` of the recipe asks for.

    The labelling run's answers to the file are kept in its folder, so that a resumed training finds the same ones.
    Questions that are among the validation ones are left out.

    Raises:
        UsageError: the recipe names no file of questions, or no answer is sure enough.
        RunError: the labelling run is missing, or has no model.
        DataError: the file or the answers cannot be read, or do not fit together.
    """
    section = recipe.pseudo
    assert section is not None
    file = section.file or recipe.data.test
    if file is None:
        raise UsageError("pseudo: which questions? set pseudo.file or data.test")
    questions = read_files(recipe, registry, [Path(file)], name="pseudo")
    run = open_run(section.from_run)
    predictions = _predictions(run, registry, questions, device=device, cache=cache, listener=listener)
    keys = Keys()
    judged = {hashes(example, keys)[0] for example in (() if validation is None else validation.examples)}
    taken: list[Example] = []
    surest = 0.0
    for example in questions.examples:
        prediction = predictions.get(example.id)
        if prediction is None:
            raise DataError(
                f"{run.folder} has no answer to it: predict the file again", path=file, row=f"id {example.id}"
            )
        confidence, labelled = _labelled(example, prediction, run)
        surest = max(surest, confidence)
        if labelled is not None and confidence >= section.min_confidence and hashes(example, keys)[0] not in judged:
            taken.append(labelled)
    if not taken:
        raise UsageError(
            f"pseudo: {run.folder} is nowhere as sure as {section.min_confidence:g} of its answers to {file} (at most "
            f"{surest:.3f}): lower pseudo.min_confidence, or leave pseudo-labels out"
        )
    listener(Notice(_summary(taken, questions, section, run)))
    return replace(train, examples=(*train.examples, *taken))


def _summary(taken: Sequence[Example], questions: Split, section: PseudoSection, run: Run) -> str:
    return (
        f"pseudo-labels: {len(taken):,} of {len(questions.examples):,} questions of {questions.files[0].name}, to "
        f"which {run.folder} answers with a confidence of {section.min_confidence:g} or more"
    )


def _predictions(
    run: Run, registry: Registry, questions: Split, *, device: torch.device, cache: Path, listener: Listener
) -> dict[str, Prediction]:
    """The run's answers by id: those that it keeps of exactly this file, or new ones, which are then kept."""
    digest = file_sha256(questions.files[0])
    own = run.predictions / f"pseudo-{digest[:12]}"
    for folder in (run.predictions, run.predictions / "test", own):
        inputs = run.read_json(folder / "meta.json").get("inputs")
        if (folder / "nbest.jsonl").is_file() and isinstance(inputs, dict) and list(inputs.values()) == [digest]:
            return {each.id: each for each in read_nbest(folder / "nbest.jsonl")}
    if not run.model.is_dir():
        raise RunError(
            f"pseudo.from_run: {run.folder} has neither answers to {questions.files[0]} nor a model to give them"
        )
    listener(Preparing(f"labelling with {run.folder}"))
    trained = TrainedRun.load(run.folder, registry=registry, device=device)
    inferred = trained.infer(
        questions.examples, cache=cache, progress=lambda done, total: listener(Predicting(done, total))
    )
    inputs = {str(questions.files[0]): digest}
    save_predictions(own, inferred.predictions, trained.recipe, run=run.name, inputs=inputs)
    return {each.id: each for each in inferred.predictions}


def _labelled(example: Example, prediction: Prediction, run: Run) -> tuple[float, Example | None]:
    """How sure the chosen answer is, and the example with it; None where it cannot be trained on."""
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
    if not prediction.answer:
        sure = 0.0 if prediction.null is None else prediction.null.probability
        return sure, replace(fresh, answers=())
    if best is None or best.start is None or best.end is None:
        return 0.0, None
    if best.context >= len(fresh.contexts) or fresh.contexts[best.context][best.start : best.end] != best.text:
        problem = f"the answer of {run.folder} is of another text: predict the file again"
        raise DataError(problem, row=f"id {prediction.id}")
    answer = Answer(best.text, best.start, best.context)
    several = len(fresh.contexts) > 1
    return best.probability, replace(fresh, answers=(answer,), relevant=best.context if several else None)
