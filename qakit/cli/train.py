"""``qakit train``."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.console import err, out, plain, print_error, print_json
from qakit.errors import RunError, UsageError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from qakit.cli.progress import TrainingDisplay
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run
    from qakit.training.finish import Finished
    from qakit.training.prepare import Prepared

INTERRUPTED = 128 + signal.SIGINT


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe file, or the name of one of qakit's own; not needed with --resume.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The run's folder; by default runs/NAME-TIME.")
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

    registry = load_registry()
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
    from qakit.cli.recipe_files import found_recipe
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


def rehearsed(
    recipe: Recipe, registry: Registry, *, quiet: bool, check: Callable[[Prepared], None] = lambda _: None
) -> dict[str, Any]:
    """Prepare a training, let ``check`` look at it, and say what it would be."""
    from qakit.cli.progress import TrainingDisplay
    from qakit.modeling.device import pick_device
    from qakit.modeling.model import parameter_counts, parameters_by_module
    from qakit.training.optim import parameter_groups
    from qakit.training.prepare import prepare_training

    with TrainingDisplay(quiet=quiet) as display:
        prepared = prepare_training(recipe, registry, device=pick_device(), listener=display)
    check(prepared)
    counts = parameter_counts(prepared.assembled.model)
    groups = [
        {
            "group": group["name"],
            "parameters": sum(p.numel() for p in group["params"]),
            "learning_rate": group["peak_rate"],
            "weight_decay": group["weight_decay"],
        }
        for group in parameter_groups(prepared.assembled.model, recipe.train)
    ]
    lengths = prepared.plan.first.windows.lengths
    return {
        "train_examples": len(prepared.train_split.examples),
        "train_windows": len(lengths),
        "window_tokens": {"mean": round(float(lengths.mean()), 1), "max": int(lengths.max())},
        "validation_examples": len(prepared.validation.examples) if prepared.validation else 0,
        "steps": prepared.plan.steps,
        "warmup_steps": prepared.plan.warmup,
        "precision": prepared.precision,
        "parameters": counts,
        "modules": parameters_by_module(prepared.assembled.model),
        "groups": groups,
    }


def show_rehearsal(title: str, summary: Mapping[str, Any]) -> None:
    """The tables of a dry run."""
    from qakit.cli.tables import groups_table, modules_table, pairs_table

    tables = ("parameters", "modules", "groups")
    out.print(pairs_table(title, {key: value for key, value in summary.items() if key not in tables}))
    out.print(modules_table(summary["modules"]))
    out.print(groups_table(summary["groups"]))


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
    with stops_told(lambda: None if training.run is None else training.run.folder, first=workers.first), display:
        finished = training.go(display, resume=resume)
    if finished is None:
        return
    assert training.run is not None
    if as_json:
        print_json(finished.metrics)
        return
    _show(training.run, finished.metrics)


@contextmanager
def stops_told(folder: Callable[[], Path | None], *, first: bool = True) -> Iterator[None]:
    """Around a training: when it is asked to stop, one line says how to go on.

    Args:
        folder: gives the training's folder, once there is one.
        first: whether this process speaks.

    Raises:
        typer.Exit: it was asked to stop.
    """
    from qakit.training.interrupts import InterruptedTrainingError, TerminationError, termination_as_error

    try:
        with termination_as_error():
            yield
    except KeyboardInterrupt as stop:
        code = stop.exit_code if isinstance(stop, TerminationError) else INTERRUPTED
        if first:
            again = "nothing is written yet, give the same command again"
            there = folder()
            go_on = f"go on with: qakit train --resume --output {there}" if there is not None else again
            print_error(f"interrupted; {go_on}")
        raise typer.Exit(code) from None
    except InterruptedTrainingError as error:
        if first and (there := folder()) is not None:
            print_error(f"{error}; a checkpoint is written, go on with: qakit train --resume --output {there}")
        raise typer.Exit(error.exit_code) from None


@dataclass(slots=True)
class Training:
    """One run's training, from its data to its figures."""

    recipe: Recipe
    registry: Registry
    accelerator: Accelerator
    output: Path | None
    """The folder of a new run."""
    run: Run | None
    """The run to go on with; of a new one, None until its folder is made."""

    def go(self, display: TrainingDisplay, *, resume: bool) -> Finished | None:
        """Train, predict, write; None in all processes but the first."""
        from qakit.report.curves import draw_curves
        from qakit.report.threshold_curve import draw_validation_curve
        from qakit.runs import alone_in, check_free, create_run
        from qakit.training.finish import finish_run
        from qakit.training.fit import fit
        from qakit.training.launch import part_ways, workers_of
        from qakit.training.prepare import prepare_training

        began = time.monotonic()
        recipe, registry, accelerator = self.recipe, self.registry, self.accelerator
        workers, device = workers_of(accelerator), accelerator.device
        with ExitStack() as held:
            with workers.one_fate():
                if workers.first and self.run is None:
                    check_free(self.output)
                elif workers.first and self.run is not None:
                    held.enter_context(alone_in(self.run))
                prepared = prepare_training(recipe, registry, device=device, listener=display, workers=workers)
                if workers.first and self.run is None:
                    self.run = create_run(recipe, self.output)
                    held.enter_context(alone_in(self.run))
            self.run = run = workers.from_first(self.run)
            assert run is not None
            with workers.one_fate():
                _check_visible(run)
            fit(prepared, run, registry, accelerator=accelerator, resume=resume, listener=display)
            finished = finish_run(
                run,
                registry,
                seconds=time.monotonic() - began,
                listener=display,
                workers=workers,
                device=device,
            )
            part_ways(accelerator)
            if finished is not None:
                draw_curves(run.metrics(), run.curves_file, title=run.name)
                draw_validation_curve(run, registry)
        return finished


def _check_visible(run: Run) -> None:
    """Every process reads from the run's folder at the end, and on resume."""
    if not run.recipe_file.is_file():
        raise RunError(
            f"{platform.node()} does not see the run's folder {run.folder.absolute()}, which the first process has "
            "made: several machines need it on a file system that they share"
        )


def _show(run: Run, metrics: Mapping[str, Any]) -> None:
    """The figures before and after, some answers, and what to do next."""
    from qakit.cli.results import show_result

    show_result(run, metrics)
    err.print(plain(f"done: {run.folder}"))
