"""Pseudo-labels: sure answers of another run to unlabelled questions, as training examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from qakit.data.checks.repeats import Keys
from qakit.data.folds import own_contexts
from qakit.data.sources import local_files
from qakit.data.splits import Split, contexts_setting, read_files
from qakit.errors import DataError, RunError, UsageError
from qakit.files import write_json
from qakit.inference.inputs import Inputs
from qakit.inference.nbest_file import read_nbest
from qakit.inference.output import save_predictions
from qakit.inference.trained import TrainedRun
from qakit.protocols import Gives
from qakit.recipe.model import Recipe
from qakit.recipe.staged import PseudoSection
from qakit.registry import Registry
from qakit.runs import Run, open_run
from qakit.training.events import Listener, Predicting, Preparing, Remark
from qakit.values import Answer, ContextPrediction, Example, LabelPrediction, Prediction, SetPrediction, SpanPrediction

PREFIX = "pseudo:"
"""Before the ids of pseudo-labelled examples."""
DECISION = "decision_sha256"
"""In the meta.json of kept answers, which weights gave them."""
_UNSURE = "less sure"


def pseudo_labelled(
    recipe: Recipe,
    registry: Registry,
    validation: Split | None,
    *,
    device: torch.device,
    cache: Path,
    listener: Listener,
) -> Split:
    """The further training examples that ``pseudo`` of the recipe asks for.

    The labelling run's answers to the file are kept in its folder, so that a resumed training finds the same ones.
    Left out are questions that are also validation ones, and with ``data.answerable_only`` those without an answer.

    Raises:
        UsageError: the recipe names no file of questions, or none of them gives an example.
        RunError: the labelling run is missing, or has no model.
        DataError: the file or the answers cannot be read, or do not fit together.
    """
    section = recipe.pseudo
    assert section is not None
    source, named = (section.file, "pseudo.file") if section.file is not None else (recipe.data.test, "data.test")
    if source is None:
        raise UsageError("pseudo: which questions? set pseudo.file or data.test")
    files = local_files(source, named=named, beside=contexts_setting(recipe))
    if len(files) > 1:
        raise UsageError(f"{named}: pseudo-labels are for the questions of one file, but {source} are {len(files)}")
    questions = read_files(recipe, registry, files, name="pseudo", predicted_only=True)
    run = open_run(section.from_run)
    predictions = predictions_for(run, registry, questions, device=device, cache=cache, listener=listener)
    judged = _Judged(() if validation is None else validation.examples)
    taken: list[Example] = []
    left: Counter[str] = Counter()
    surest = 0.0
    for example in questions.examples:
        prediction = predictions.get(example.id)
        if prediction is None:
            raise DataError(
                f"{run.folder} has no answer to it: predict the file again", path=files[0], row=f"id {example.id}"
            )
        confidence, labelled = labelled_by(example, prediction, run)
        if judged.asks(example):
            left["among the validation questions"] += 1
        elif labelled is None:
            left["with an answer that has no place in its context"] += 1
        elif recipe.data.answerable_only and labelled.answers == ():
            left['answered with "no answer" (data.answerable_only)'] += 1
        elif confidence >= section.min_confidence:
            taken.append(labelled)
        else:
            surest = max(surest, confidence)
            left[_UNSURE] += 1
    if not taken:
        raise UsageError(_why_none(left, questions, section, run, surest))
    listener(Remark(_summary(len(taken), left, questions, section, run)))
    return replace(questions, examples=tuple(taken))


class _Judged:
    """The validation questions, whatever is known of them: an unlabelled copy does not say which context counts."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._keys = Keys()
        self._contexts: dict[str, set[str]] = {}
        for example in examples:
            own = self._contexts.setdefault(self._keys(example.question), set())
            own |= {self._keys(context) for context in own_contexts(example) or ("",)}

    def asks(self, example: Example) -> bool:
        """Whether it is the question of a validation example that is about one of its contexts."""
        own = self._contexts.get(self._keys(example.question))
        return own is not None and any(self._keys(context) in own for context in example.contexts or ("",))


def check_learnt(pseudo: Split, gives: Gives, classes: Sequence[str], recipe: Recipe) -> None:
    """Refuse labels that the recipe's head does not learn from: it would take them for "no answer".

    Args:
        pseudo: the examples of :func:`pseudo_labelled`.
        gives: what the head decodes to; one that gives contexts learns from answers, too.
        classes: what it chooses among, if it classifies.

    Raises:
        UsageError: the labelling run gives something else.
    """
    assert recipe.pseudo is not None
    first = pseudo.examples[0]
    found = "labels" if first.label is not None else "spans" if first.answers is not None else "contexts"
    if found != gives and (found, gives) != ("spans", "contexts"):
        raise UsageError(
            f"pseudo.from_run: {recipe.pseudo.from_run} gives {found}, but the head {recipe.head.name!r} learns "
            f"{gives}: name a run whose head gives {gives}"
        )
    other = sorted({str(example.label) for example in pseudo.examples if example.label is not None} - {*classes})
    if other:
        known = f"is none of this recipe's classes ({', '.join(classes)})" if classes else "is no number"
        raise UsageError(f"pseudo.from_run: {recipe.pseudo.from_run} gives the label {other[0]!r}, which {known}")


def _summary(taken: int, left: Mapping[str, int], questions: Split, section: PseudoSection, run: Run) -> str:
    others = ", ".join(f"{count:,} {kind}" for kind, count in left.items() if kind != _UNSURE)
    return (
        f"pseudo-labels: {taken:,} of {len(questions.examples):,} questions of {questions.files[0].name}, to "
        f"which {run.folder} answers with a confidence of {section.min_confidence:g} or more"
        + (f"; left out: {others}" if others else "")
    )


def _why_none(left: Mapping[str, int], questions: Split, section: PseudoSection, run: Run, surest: float) -> str:
    parts = [f"{count:,} {kind}" for kind, count in left.items() if kind != _UNSURE]
    remedy = "name another pseudo.file, or leave pseudo-labels out"
    if _UNSURE in left:
        parts.append(
            f"{left[_UNSURE]:,} answered with a confidence under {section.min_confidence:g} (at most {surest:.3f})"
        )
        remedy = "lower pseudo.min_confidence, or leave pseudo-labels out"
    why = ", ".join(parts)
    return (
        f"pseudo: {run.folder} labels none of the {len(questions.examples):,} questions of {questions.files[0]} for "
        f"training: {why}: {remedy}"
    )


def predictions_for(
    run: Run, registry: Registry, questions: Split, *, device: torch.device, cache: Path, listener: Listener
) -> dict[str, Prediction]:
    """The run's answers by id: those that it keeps of exactly this file, or new ones, which are then kept.

    What is kept serves until the run has other weights: it may have been interrupted, and resumed since.

    Raises:
        RunError: there are none, and the run has no model to give them.
    """
    inputs = Inputs.of(questions)
    own = run.predictions / f"pseudo-{inputs.files[str(questions.files[0])][:12]}"
    for folder in (run.predictions, run.predictions / "test", own):
        if _answers(run, folder, inputs):
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
    save_predictions(own, inferred.predictions, trained.recipe, run=run.name, inputs=inputs)
    write_json(own / "meta.json", {**run.read_json(own / "meta.json"), DECISION: run.decision_sha256()})
    return {each.id: each for each in inferred.predictions}


def _answers(run: Run, folder: Path, inputs: Inputs) -> bool:
    """Whether a folder of the run holds its answers to just this file, by the weights that it has, if it has any."""
    meta, decision = run.read_json(folder / "meta.json"), run.decision_sha256()
    if not (folder / "nbest.jsonl").is_file() or not inputs.same_as(Inputs.read(run, folder)):
        return False
    return decision is None or meta.get(DECISION, decision) == decision


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
    if isinstance(prediction, SetPrediction):
        raise DataError(f"pseudo: {run.folder} gives all answers together, and says not how sure it is of them")
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
