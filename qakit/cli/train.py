"""``qakit train``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.console import err, out, plain, print_error, print_json
from qakit.errors import QakitError, RunError, UsageError

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run

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
    as_json: Annotated[bool, typer.Option("--json", help="Print the final figures as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a recipe; evaluate, predict the test file and write the submission."""
    from qakit.registry import load_registry

    registry = load_registry()
    if resume:
        run, resolved = _resumed(output, overrides or [])
    else:
        run, resolved = None, _loaded(recipe, overrides or [], registry)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if dry_run:
        _dry_run(resolved, registry, as_json=as_json, quiet=quiet)
        return
    _train(resolved, run, output, registry, resume=resume, as_json=as_json, quiet=quiet)


def _loaded(path: Path | None, overrides: list[str], registry: Registry) -> Recipe:
    from qakit.cli.recipe_files import found_recipe
    from qakit.recipe.load import load_recipe

    if path is None:
        raise UsageError("which recipe? `qakit recipes list` shows those in ./recipes")
    with found_recipe(path) as file:
        return load_recipe(file, overrides, registry=registry, check_files=True).recipe


def _resumed(output: Path | None, overrides: list[str]) -> tuple[Run, Recipe]:
    from qakit.runs import open_run

    if output is None:
        raise UsageError("--resume needs --output RUN: the folder of the run to go on with")
    if overrides:
        raise UsageError("--resume goes on with the run's own recipe: --set cannot change it")
    run = open_run(output)
    return run, run.recipe()


def _dry_run(recipe: Recipe, registry: Registry, *, as_json: bool, quiet: bool) -> None:
    from qakit.cli.progress import TrainingDisplay
    from qakit.modeling.device import pick_device
    from qakit.modeling.model import parameter_counts
    from qakit.training.fit import prepare_training
    from qakit.training.optim import parameter_groups

    with TrainingDisplay(quiet=quiet or as_json) as display:
        prepared = prepare_training(recipe, registry, device=pick_device(), listener=display)
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
    summary: dict[str, Any] = {
        "train_examples": len(prepared.train_split.examples),
        "train_windows": len(lengths),
        "window_tokens": {"mean": round(float(lengths.mean()), 1), "max": int(lengths.max())},
        "validation_examples": len(prepared.validation.examples) if prepared.validation else 0,
        "steps": prepared.plan.steps,
        "warmup_steps": prepared.plan.warmup,
        "precision": prepared.precision,
        "parameters": counts,
        "groups": groups,
    }
    if as_json:
        print_json(summary)
        return
    from qakit.cli.tables import groups_table, pairs_table

    out.print(
        pairs_table("Dry run", {key: value for key, value in summary.items() if key not in ("groups", "parameters")})
    )
    out.print(groups_table(groups, counts))


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
    from qakit.report.curves import draw_curves
    from qakit.report.threshold_curve import draw_validation_curve
    from qakit.runs import alone_in, check_free
    from qakit.training.finish import finish_run
    from qakit.training.fit import accelerator_for, fit, part_ways, prepare_training
    from qakit.training.interrupts import InterruptedTrainingError

    began = time.monotonic()
    accelerator = accelerator_for(recipe)
    main = accelerator.is_main_process
    display = TrainingDisplay(quiet=quiet or as_json or not main)
    if run is None and output is not None:
        check_free(output)
    try:
        with display:
            prepared = prepare_training(recipe, registry, device=accelerator.device, listener=display)
            run = run or _new_run(recipe, output, accelerator)
            with alone_in(run) if main else nullcontext():
                fit(prepared, run, registry, accelerator=accelerator, resume=resume, listener=display)
                part_ways(accelerator)
                if not main:
                    return
                finished = finish_run(run, registry, seconds=time.monotonic() - began, listener=display)
    except KeyboardInterrupt:
        go_on = f"; go on with: qakit train --resume --output {run.folder}" if run is not None else ""
        print_error(f"interrupted{go_on}")
        raise typer.Exit(INTERRUPTED) from None
    except InterruptedTrainingError as error:
        if main and run is not None:
            print_error(f"{error}; a checkpoint is written, go on with: qakit train --resume --output {run.folder}")
        raise typer.Exit(error.exit_code) from None
    draw_curves(run.metrics(), run.curves_file, title=run.name)
    draw_validation_curve(run, registry)
    if as_json:
        print_json(finished.metrics)
        return
    _show(run, finished.metrics)


def _new_run(recipe: Recipe, output: Path | None, accelerator: Any) -> Run:
    """Make the run folder in the first process; all processes get it, or the reason why not."""
    from qakit.runs import create_run

    if accelerator.num_processes == 1:
        return create_run(recipe, output)
    import torch.distributed

    box: list[Run | str | None] = [None]
    if accelerator.is_main_process:
        try:
            box = [create_run(recipe, output)]
        except QakitError as error:
            box = [str(error)]
    torch.distributed.broadcast_object_list(box, src=0)
    if box[0] is None or isinstance(box[0], str):
        raise RunError(box[0] or "the first process could not make the run folder")
    return box[0]


def _show(run: Run, metrics: Mapping[str, Any]) -> None:
    """The figures before and after, some answers, and what to do next."""
    from qakit.cli.results import show_result

    show_result(run, metrics)
    err.print(plain(f"done: {run.folder}"))
