"""``qakit train``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.console import err, plain, print_json
from qakit.cli.one_training import Training
from qakit.cli.outputs import new_path
from qakit.cli.rehearsal import rehearsed, show_rehearsal
from qakit.cli.stops import stops_told
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe file, or the name of one of qakit's own; not needed with --resume.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run's folder; by default runs/NAME-TIME.", callback=new_path),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe value, e.g. train.epochs=1.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prepare everything, say what would be trained, and stop.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --output.")] = False,
    fold: Annotated[
        int | None, typer.Option("--fold", help="Of a recipe with folds: train only this one, counted from 1.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the final figures as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a recipe; evaluate, predict the test file and write the submission.

    A recipe with `stages` is a pipeline: its stages are trained one after the other, then it is predicted as a whole.
    One with `folds` is trained once for each fold, and judged on all out-of-fold answers together. One with `ensemble`
    trains the members that its block `train` describes, and combines them.
    """
    from qakit.cli.train_ensemble import train_ensemble, wants_ensemble
    from qakit.cli.train_folds import train_folds, wants_folds
    from qakit.cli.train_pipeline import train_pipeline, wants_pipeline
    from qakit.registry import load_registry
    from qakit.runs import Run, recover_run

    registry = load_registry()
    if resume and output is not None:
        recover_run(Run(output))  # its files say below what kind of run it is
    composed = (("an ensemble", wants_ensemble, train_ensemble), ("a pipeline", wants_pipeline, train_pipeline))
    for what, wanted, train_it in composed:
        if wanted(recipe, output, resume=resume):
            if fold is not None:
                raise UsageError(f"--fold is for a recipe with `folds`; {what} has none")
            train_it(
                recipe,
                output,
                overrides or [],
                registry,
                dry_run=dry_run,
                resume=resume,
                as_json=as_json,
                quiet=quiet,
            )
            return
    if resume:
        run, resolved = _resumed(output, overrides or [])
    else:
        run, resolved = None, _loaded(recipe, overrides or [], registry)
    if wants_folds(resolved, fold):
        train_folds(
            resolved,
            output,
            registry,
            fold=fold,
            dry_run=dry_run,
            resume=resume,
            as_json=as_json,
            quiet=quiet,
        )
        return
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if dry_run:
        _dry_run(resolved, registry, as_json=as_json, quiet=quiet)
        return
    _train(resolved, run, output, registry, resume=resume, as_json=as_json, quiet=quiet)


def _loaded(path: Path | None, overrides: list[str], registry: Registry) -> Recipe:
    from qakit.recipe.found import found_recipe
    from qakit.recipe.load import load_recipe
    from qakit.training.fold_recipe import fold_recipe

    if path is None:
        raise UsageError("which recipe? `qakit recipes list` shows those in ./recipes")
    recipe = load_recipe(found_recipe(path), overrides, registry=registry, check_files=True).recipe
    own = None if recipe.folds is None else recipe.folds.fold
    return recipe if own is None else fold_recipe(recipe, own)


def _resumed(output: Path | None, overrides: list[str]) -> tuple[Run, Recipe]:
    from qakit.runs import open_run

    if output is None:
        raise UsageError("--resume needs --output RUN: the folder of the run to go on with")
    if overrides:
        raise UsageError("--resume goes on with the run's own recipe: --set cannot change it")
    run = open_run(output)
    return run, run.recipe()


def _dry_run(recipe: Recipe, registry: Registry, *, as_json: bool, quiet: bool) -> None:
    summary = rehearsed(recipe, registry, quiet=quiet or as_json)
    if as_json:
        print_json(summary)
    else:
        show_rehearsal("Dry run", summary)


def _train(
    recipe: Recipe,
    run: Run | None,
    output: Path | None,
    registry: Registry,
    *,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from qakit.cli.progress import TrainingDisplay
    from qakit.training.launch import accelerator_for, workers_of

    accelerator = accelerator_for(recipe)
    training = Training(recipe, registry, accelerator, output, run)
    workers = workers_of(accelerator)
    display = TrainingDisplay(quiet=quiet or as_json, silent=not workers.first)
    if run is not None and run.metrics_file.is_file() and workers.first and not (quiet or as_json):
        err.print(plain(f"{run.folder} is finished: its test file is predicted once more"))
    with stops_told(lambda: None if training.run is None else training.run.folder, first=workers.first), display:
        finished = training.go(display, resume=resume)
    if finished is None:
        return
    assert training.run is not None
    if as_json:
        print_json(finished.metrics)
        return
    _show(training.run, finished.metrics)


def _show(run: Run, metrics: Mapping[str, Any]) -> None:
    """The figures before and after, some answers, and what to do next."""
    from qakit.cli.results import show_result

    show_result(run, metrics)
    err.print(plain(f"done: {run.folder}"))
