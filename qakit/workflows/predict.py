"""Answers to a file of questions, or to one of a run's splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.distributed import is_first_process
from qakit.errors import UsageError
from qakit.runs import Run
from qakit.training.events import Listener, Notice, Predicting, silence
from qakit.workflows.questions import check_targets, input_file, load_run, read_examples, read_own_split

if TYPE_CHECKING:
    from qakit.data.splits import Split, SplitName
    from qakit.inference.answering import Answering, Inferred
    from qakit.inference.output import Submission
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.values import Prediction


@dataclass(frozen=True, slots=True)
class PredictionResult:
    """Answers, and the files that they were written to; of several processes the first one writes."""

    predictions: tuple[Prediction, ...]
    """In the order of the questions."""
    folder: Path | None
    """Where the candidates of a split are kept; None for a file, and under other values than the run's own."""
    written: Submission | None
    """The answer file; None where none was asked for."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The files to be written, None for those that are not."""

    output: Path | None = None
    """Answers; the ending chooses the format."""
    nbest: Path | None = None
    """All candidates, JSON Lines."""
    characters: Path | None = None
    """Start and end log-probabilities of every character."""

    def check(self, source: Path, recipe: Recipe) -> None:
        """Before the long work; see :func:`check_targets`."""
        check_targets(source, self.output, self.nbest, self.characters, recipe=recipe)


def predict(
    model: Path,
    source: str | None,
    *,
    contexts: Path | None = None,
    split: SplitName | None = None,
    targets: Targets = Targets(),
    overrides: Sequence[str] = (),
    listener: Listener,
) -> PredictionResult:
    """See :func:`qakit.predict`; ``overrides`` are ``a.b=value`` texts for the model's recipe."""
    if not is_first_process():
        listener = silence
    output = targets.output
    if (source is None) == (split is None):
        raise UsageError("give either --input FILE or --split train|validation|test")
    if output is not None and not output.suffix:
        raise UsageError(f"--output {output} has no ending; use .csv, .json, .jsonl or that of the recipe's writer")
    if split not in (None, "train", "validation", "test"):
        raise UsageError(f"there is no split {split!r}: it is train, validation or test")
    file = None if source is None else input_file(source)
    if split is not None:
        _check_split(model, split, targets, changed=bool(overrides))
    from qakit.data.cache import default_cache
    from qakit.data.splits import with_questions
    from qakit.inference.output import build_writer

    trained = _asked(load_run(model, overrides, listener), contexts, targets)
    written = trained.recipe if file is None else with_questions(trained.recipe, str(file.absolute()))
    if output is not None:
        build_writer(written, trained.registry, suffix=output.suffix)  # before the long work
    if file is not None:
        targets.check(file, trained.recipe)
        questions = read_examples(trained, file, predicted_only=True, listener=listener)
    else:
        assert split is not None
        questions = read_own_split(trained, split, listener)
        for own in questions.files:
            targets.check(own, trained.recipe)
    inferred = trained.infer(
        questions.examples, cache=default_cache(), progress=lambda done, total: listener(Predicting(done, total))
    )
    found = PredictionResult(tuple(inferred.predictions), None, None)
    if not trained.workers.first:
        return found
    if inferred.characters is not None and targets.characters is not None:
        inferred.characters.write(targets.characters)
    if split is not None and not overrides:
        found = replace(found, folder=_keep(trained, split, questions, inferred))
    return replace(found, written=_write(inferred.predictions, targets, written, trained.registry, listener))


def _check_split(model: Path, split: SplitName, targets: Targets, *, changed: bool) -> None:
    """Refuse predictions that would take the place of those that others rely on.

    Raises:
        UsageError: they would.
    """
    run = Run(model)
    if split == "validation" and run.has_members:
        how = "out of fold" if run.is_folds else "while it was made"
        raise UsageError(
            f"{model} has answered its validation questions {how} ({run.validation_predictions}); a model that was "
            "trained or tuned on them must not answer them anew: for other questions name the file, with --input"
        )
    if changed and targets == Targets():
        raise UsageError(
            "answers under --set are not the run's own, and not kept in its folder: name a file with --output or "
            "--nbest"
        )


def _asked(trained: Answering, contexts: Path | None, targets: Targets) -> Answering:
    """The model, told where the contexts are and whether character scores are wanted."""
    from qakit.data.splits import with_contexts

    if contexts is not None:
        trained = trained.with_recipe(with_contexts(trained.recipe, contexts))
    if targets.characters is not None:
        wanted = trained.recipe.predict.model_copy(update={"character_scores": True})
        trained = trained.with_recipe(trained.recipe.model_copy(update={"predict": wanted}))
    return trained


def _keep(trained: Answering, split: SplitName, questions: Split, inferred: Inferred) -> Path:
    """The predictions of a split in the run's folder."""
    from qakit.inference.inputs import Inputs
    from qakit.inference.output import save_predictions

    folder = trained.run.predictions / split
    save_predictions(
        folder,
        inferred.predictions,
        trained.recipe,
        run=trained.run.name,
        inputs=Inputs.of(questions),
        characters=inferred.characters,
    )
    return folder


def _write(
    predictions: Sequence[Prediction], targets: Targets, recipe: Recipe, registry: Registry, listener: Listener
) -> Submission | None:
    """The files of candidates and of answers."""
    from qakit.inference.nbest_file import write_nbest
    from qakit.inference.output import write_submission

    if targets.nbest is not None:
        write_nbest(targets.nbest, predictions)
    if targets.output is None:
        return None
    written = write_submission(targets.output, predictions, recipe, registry, suffix=targets.output.suffix)
    for line in written.told():
        listener(Notice(line))
    return written
