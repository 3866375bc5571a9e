"""``qakit ladder``: a chain of recipes, and what each step bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.console import err, out, plain, print_error, print_json
from qakit.errors import QakitError, RunError, UsageError
from qakit.numbers import finite_or_none
from qakit.outputs import new_folder

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.report.ladder import Ladder, Rung


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ladder)


def ladder(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPES", help="Recipe files, the simplest first.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The ladder's folder: a run for each recipe, and the report.", callback=new_folder
        ),
    ] = Path("runs/ladder"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value in every recipe.")
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Resamples of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a chain of recipes and say what each step bought over the one before.

    What is trained already is not trained again, and an interrupted training is gone on with: give the same command
    again. A recipe that fails is shown with its error, and the others go on. Ensemble recipes are combined.
    """
    from qakit.inference.workers import launched_processes
    from qakit.registry import load_registry
    from qakit.report.columns import Sampling
    from qakit.report.ladder import ladder_of
    from qakit.report.ladder_page import write_ladder

    if launched_processes() > 1:
        raise UsageError(
            "a ladder is climbed by one process: train its recipes with the launcher, then `qakit compare`"
        )
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; name a folder")
    registry, silent = load_registry(), quiet or as_json
    rungs = [_climb(rung, overrides or [], registry, silent) for rung in _rungs(recipes, output)]
    found = ladder_of(rungs, registry, Sampling(resamples, seed))
    write_ladder(found, output)
    if as_json:
        print_json(found.as_json())
    else:
        _show(found, output)
    if any(rung.error is not None for rung in rungs):
        raise typer.Exit(1)


def _rungs(recipes: list[Path], output: Path) -> list[Rung]:
    from qakit.recipe.load import name_from
    from qakit.report.ladder import Rung

    names = [name_from(path) for path in recipes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two recipes are called {twice}; the steps need different names")
    return [Rung(name, str(path), output / name) for name, path in zip(names, recipes, strict=True)]


def _climb(rung: Rung, overrides: list[str], registry: Registry, silent: bool) -> Rung:
    """The rung, trained or with the error."""
    from qakit.cli.stops import stops_told
    from qakit.ensembling.load import is_ensemble
    from qakit.recipe.found import found_recipe
    from qakit.training.interrupts import InterruptedTrainingError

    _say(f"{rung.name}: {rung.source}", silent)
    try:
        with stops_told(lambda: rung.folder, go_on="give the same command again to go on"):
            file = found_recipe(Path(rung.source))
            if is_ensemble(file):
                return _combined(rung, file, overrides, registry, silent)
            recipe = _loaded(file, overrides, registry)
            _train(rung, recipe, registry, silent)
            return replace(rung, baselines=recipe.baselines)
    except InterruptedTrainingError:
        raise
    except QakitError as error:
        print_error(f"{rung.name}: {error}")
        return replace(rung, error=str(error))


def _loaded(file: Path, overrides: list[str], registry: Registry) -> Recipe:
    from qakit.recipe.load import load_recipe
    from qakit.stages.load import is_pipeline

    if is_pipeline(file):
        raise UsageError(f"{file} is a pipeline: train it by itself, and use `qakit compare`")
    recipe = load_recipe(file, overrides, registry=registry, check_files=True).recipe
    if recipe.folds is not None:
        raise UsageError(f"{file} has folds, which answer other questions: train it by itself, or --set folds=null")
    if recipe.data.validation is None:
        raise UsageError(f"{file} sets no data.validation, on which the steps are compared")
    return recipe


def _train(rung: Rung, recipe: Recipe, registry: Registry, silent: bool) -> None:
    """Train what is not trained yet."""
    from qakit.cli.progress import TrainingDisplay
    from qakit.recipe.differences import same_run
    from qakit.runs import Run
    from qakit.workflows.training import train_into

    run = Run(rung.folder)
    if run.recipe_file.is_file() and not same_run(run.recipe(), recipe):
        raise RunError(f"{rung.folder} was trained from another recipe: choose another --output, or remove it")
    if run.metrics_file.is_file():
        _say(f"{rung.name}: trained before", silent)
        return
    with TrainingDisplay(quiet=silent) as display:
        train_into(recipe, rung.folder, registry, listener=display)


def _combined(rung: Rung, file: Path, overrides: list[str], registry: Registry, silent: bool) -> Rung:
    """The members of an ensemble recipe combined, and trained before where the recipe says how."""
    from qakit.cli.progress import TrainingDisplay
    from qakit.ensembling.combine import combine
    from qakit.ensembling.folder import check_target, write_ensemble
    from qakit.workflows.members import ensemble_into, read_ensemble

    loaded = read_ensemble(file, overrides, registry)
    plan = loaded.plan
    if loaded.members:
        with TrainingDisplay(quiet=silent) as display:
            trained = ensemble_into(loaded, rung.folder, registry, listener=display)
        seconds = sum(finite_or_none(run.read_json(run.metrics_file).get("seconds")) or 0.0 for run in trained)
        note = (
            f"an ensemble ({plan.method}) of {len(plan.members) + len(trained)} members; the time is that of training"
        )
        return replace(rung, note=note, seconds=seconds, baselines=loaded.members[0].recipe.baselines)
    _check_overrides(overrides, plan.members, rung)
    check_target(rung.folder, plan.members)
    made = combine(plan, registry, want_test=False, say=lambda text: _say(text, silent))
    write_ensemble(made, rung.folder, registry)
    return replace(rung, note=f"an ensemble ({plan.method}) of {len(plan.members)} runs that were trained before")


def _check_overrides(overrides: Sequence[str], members: Sequence[Path], rung: Rung) -> None:
    """Steps of this ladder are trained with ``--set``; nothing can be changed in runs from elsewhere."""
    steps = rung.folder.resolve().parent
    other = next((path for path in members if path.resolve().parent != steps), None)
    if overrides and other is not None:
        raise UsageError(
            f"--set cannot change {other}, which {rung.source} combines as it is: leave out one of the two"
        )


def _say(text: str, silent: bool) -> None:
    if not silent:
        err.print(plain(text))


def _show(found: Ladder, folder: Path) -> None:
    from qakit.cli.tables import new_table
    from qakit.report.ladder_page import grids, method

    for grid in grids(found):
        table = new_table(grid.title, *grid.columns, numbers=grid.numbers)
        for row in grid.rows:
            table.add_row(*map(plain, row))
        out.print(table)
    for note in found.notes:
        out.print(plain(f"note: {note}"))
    out.print(plain(f"{method(found)} Report: {folder / 'ladder.html'}"))
