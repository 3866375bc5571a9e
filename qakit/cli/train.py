"""``qakit train``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.console import err, out, plain, print_error, print_json
from qakit.errors import RunError, UsageError

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run

INTERRUPTED = 128 + signal.SIGINT


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe file; with --resume it may be left out.")] = Path(),
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
        run, resolved = _resumed(recipe, output, overrides or [])
    else:
        run, resolved = None, _loaded(recipe, overrides or [], registry)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if dry_run:
        _dry_run(resolved, registry, as_json=as_json, quiet=quiet)
        return
    _train(resolved, run, output, registry, resume=resume, as_json=as_json, quiet=quiet)


def _loaded(path: Path, overrides: list[str], registry: Registry) -> Recipe:
    from qakit.recipe.load import load_recipe

    if path == Path():
        raise UsageError("which recipe? `qakit recipes list` shows those in ./recipes")
    return load_recipe(path, overrides, registry=registry, check_files=True).recipe


def _resumed(path: Path, output: Path | None, overrides: list[str]) -> tuple[Run, Recipe]:
    from qakit.runs import open_run

    if output is None:
        raise UsageError("--resume needs --output RUN: the folder of the run to go on with")
    if overrides:
        raise UsageError("--resume goes on with the run's own recipe: --set cannot change it")
    run = open_run(output)
    if path != Path() and not path.is_file():
        raise UsageError(f"there is no recipe {path}; with --resume it may be left out")
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
    from qakit.runs import create_run
    from qakit.training.finish import finish_run
    from qakit.training.fit import accelerator_for, fit, part_ways
    from qakit.training.interrupts import InterruptedTrainingError

    began = time.monotonic()
    accelerator = accelerator_for(recipe)
    main = accelerator.is_main_process
    if run is None:
        run = _shared(create_run(recipe, output) if main else None, accelerator)
    display = TrainingDisplay(quiet=quiet or as_json or not main)
    try:
        with display:
            fit(recipe, run, registry, accelerator=accelerator, resume=resume, listener=display)
            part_ways(accelerator)
            if not main:
                return
            finished = finish_run(run, registry, seconds=time.monotonic() - began, listener=display)
    except KeyboardInterrupt:
        print_error(f"interrupted; go on with: qakit train --resume --output {run.folder}")
        raise typer.Exit(INTERRUPTED) from None
    except InterruptedTrainingError as error:
        if main:
            print_error(f"{error}; a checkpoint is written, go on with: qakit train --resume --output {run.folder}")
        raise typer.Exit(error.exit_code) from None
    draw_curves(run.metrics(), run.curves_file, title=run.name)
    if as_json:
        print_json(finished.metrics)
        return
    _show(run, finished.metrics)


def _shared(run: Run | None, accelerator: Any) -> Run:
    """The first process's run, in every process."""
    if accelerator.num_processes == 1:
        assert run is not None
        return run
    import torch.distributed

    box = [run]
    torch.distributed.broadcast_object_list(box, src=0)
    if box[0] is None:
        raise RunError("the first process could not make the run folder")
    return box[0]


def _show(run: Run, metrics: Mapping[str, Any]) -> None:
    """The figures before and after, some answers, and what to do next."""
    from qakit.cli.results import show_result

    show_result(run, metrics)
    err.print(plain(f"done: {run.folder}"))
