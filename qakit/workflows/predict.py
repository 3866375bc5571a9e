"""Answers to a file of questions, or to one of a run's splits: by one model, or by those of an ensemble or folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.distributed import is_first_process
from qakit.errors import UsageError
from qakit.training.events import Listener, Notice, Predicting, Remark, silence
from qakit.workflows.questions import check_targets, input_file, load_run, read_examples, read_input, read_own_split

if TYPE_CHECKING:
    from qakit.data.splits import Split, SplitName
    from qakit.inference.answering import Answering, Inferred
    from qakit.inference.output import Submission
    from qakit.inference.scoring import CountProgress
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.values import Prediction


@dataclass(frozen=True, slots=True)
class PredictionResult:
    """Answers, and the files that they were written to; of several processes the first one writes."""

    predictions: tuple[Prediction, ...]
    """In the order of the questions."""
    folder: Path | None
    """Where the candidates of a split are kept; None for a file."""
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
    """See :func:`qakit.predict`; ``overrides`` are ``a.b=value`` texts for a model without a run."""
    from qakit.runs import Run

    if not is_first_process():
        listener = silence
    output = targets.output
    if (source is None) == (split is None):
        raise UsageError("give either --input FILE or --split train|validation|test")
    if output is not None and not output.suffix:
        raise UsageError(f"--output {output} has no ending; use .csv, .json, .jsonl or that of the recipe's writer")
    file = None if source is None else input_file(source)
    if Run(model).has_members:
        check_for_one(model, split=split, characters=targets.characters)
        assert file is not None
        return _by_members(model, file, contexts, targets, listener)
    return _by_one(model, overrides, file, contexts, split, targets, listener)


def check_for_one(run: Path, *, many: bool = False, split: str | None, characters: Path | None) -> None:
    """Refuse what is done of one model only.

    Raises:
        UsageError: such a thing is asked.
    """
    from qakit.distributed import launched_processes

    if many:
        raise UsageError(f"{run} has several models, which answer one --input FILE into one --output FILE at a time")
    if split is not None:
        raise UsageError(
            f"{run} has several models, and no --split of its own: its answers to data.test are in "
            f"{run / 'predictions'}; for others name the file, with --input"
        )
    if characters is not None:
        raise UsageError(f"{run} has several models: ask one of them for its character scores")
    if launched_processes() > 1:
        raise UsageError(f"{run} has several models, which answer in one process: run the command without a launcher")


def _by_one(
    model: Path,
    overrides: Sequence[str],
    source: Path | None,
    contexts: Path | None,
    split: SplitName | None,
    targets: Targets,
    listener: Listener,
) -> PredictionResult:
    """All of them in memory."""
    from qakit.data.cache import default_cache
    from qakit.inference.output import build_writer

    trained = _asked(load_run(model, overrides), contexts, targets)
    if targets.output is not None:
        build_writer(trained.recipe, trained.registry, suffix=targets.output.suffix)  # before the long work
    if source is not None:
        targets.check(source, trained.recipe)
        questions = read_examples(trained, source, predicted_only=True, listener=listener)
    else:
        assert split is not None
        questions = read_own_split(trained, split, listener)
        for file in questions.files:
            targets.check(file, trained.recipe)
    inferred = trained.infer(
        questions.examples, cache=default_cache(), progress=lambda done, total: listener(Predicting(done, total))
    )
    found = PredictionResult(tuple(inferred.predictions), None, None)
    if not trained.workers.first:
        return found
    if inferred.characters is not None and targets.characters is not None:
        inferred.characters.write(targets.characters)
    if split is not None:
        found = replace(found, folder=_keep(trained, split, questions, inferred))
    return replace(found, written=_write(inferred.predictions, targets, trained.recipe, trained.registry, listener))


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
    from qakit.inference.output import inputs_of, save_predictions

    folder = trained.run.predictions / split
    save_predictions(
        folder,
        inferred.predictions,
        trained.recipe,
        run=trained.run.name,
        inputs=inputs_of(questions.files),
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


def _by_members(
    run: Path, source: Path, contexts: Path | None, targets: Targets, listener: Listener
) -> PredictionResult:
    """By the weights and the no-answer threshold that the ensemble has; folds count the same."""
    from qakit.data.cache import default_cache
    from qakit.data.splits import with_contexts
    from qakit.ensembling.later import answering
    from qakit.ensembling.stored import open_stored
    from qakit.folds.together import open_together
    from qakit.graph.training import free_memory
    from qakit.inference.output import build_writer
    from qakit.registry import load_registry
    from qakit.runs import Run

    registry = load_registry()
    ensemble = (open_together if Run(run).is_folds else open_stored)(run, registry)
    recipe = ensemble.recipe if contexts is None else with_contexts(ensemble.recipe, contexts)
    if targets.output is not None:
        build_writer(recipe, registry, suffix=targets.output.suffix)  # before the long work
    targets.check(source, recipe)
    read_input(recipe, registry, source, listener)
    for path in ensemble.changed_members():
        listener(
            Notice(
                f"{path} has other predictions than those that {run} was made of: if its model is another one, weights "
                "and no-answer threshold may not suit it; `qakit ensemble` finds them anew"
            )
        )

    @contextmanager
    def watch(number: int, path: Path) -> Iterator[CountProgress | None]:
        free_memory()  # of the member before
        listener(Remark(f"member {number} of {len(ensemble.members)}: {path}"))
        yield lambda done, total: listener(Predicting(done, total))

    with answering(ensemble, source, registry, contexts=contexts, cache=default_cache(), watch=watch) as predictions:
        written = _write(predictions, targets, recipe, registry, listener)
        return PredictionResult(tuple(predictions), None, written)
