"""``qakit predict`` of an ensemble or of folds: the models answer one by one, then their answers are combined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.cli.console import err, plain, print_warning
from qakit.cli.trained_runs import bar, check_targets, read_input
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.inference.output import Submission
    from qakit.inference.scoring import CountProgress


def check_for_one(run: Path, *, many: bool, split: str | None, characters: Path | None) -> None:
    """Refuse what `qakit predict` does of one model only.

    Raises:
        UsageError: such a thing is asked.
    """
    from qakit.inference.workers import launched_processes

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


def predict_ensemble(
    run: Path, source: Path, contexts: Path | None, output: Path, nbest: Path | None, *, quiet: bool
) -> Submission:
    """Answers to one file, by the weights and the no-answer threshold that the ensemble has; folds count the same."""
    from qakit.workflows.training import free_memory
    from qakit.data.cache import default_cache
    from qakit.data.splits import with_contexts
    from qakit.ensembling.later import answering
    from qakit.ensembling.stored import open_stored
    from qakit.folds.together import open_together
    from qakit.inference.nbest_file import write_nbest
    from qakit.inference.output import build_writer, write_submission
    from qakit.registry import load_registry
    from qakit.runs import Run

    registry = load_registry()
    ensemble = (open_together if Run(run).is_folds else open_stored)(run, registry)
    recipe = ensemble.recipe if contexts is None else with_contexts(ensemble.recipe, contexts)
    build_writer(recipe, registry, suffix=output.suffix)  # before the long work
    check_targets(source, output, nbest)
    read_input(recipe, registry, source)
    for path in ensemble.changed_members():
        print_warning(
            f"{path} has other predictions than those that {run} was made of: if its model is another one, weights and "
            "no-answer threshold may not suit it; `qakit ensemble` finds them anew"
        )

    @contextmanager
    def watch(number: int, path: Path) -> Iterator[CountProgress | None]:
        free_memory()  # of the member before
        if not quiet:
            err.print(plain(f"member {number} of {len(ensemble.members)}: {path}"))
        with bar("predicting") as progress:
            yield progress

    with answering(ensemble, source, registry, contexts=contexts, cache=default_cache(), watch=watch) as predictions:
        if nbest is not None:
            write_nbest(nbest, predictions)
        return write_submission(output, predictions, recipe, registry, suffix=output.suffix)
