"""``qakit train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.options import (
    DevicesOption,
    EngineOption,
    JobsOption,
    MaxHoursOption,
    QuietOption,
    RecipeArgument,
    RecipeSetOption,
)
from qakit.cli.terminal.stops import stops_told
from qakit.errors import UsageError
from qakit.outputs import new_folder


def train(
    recipe: RecipeArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The run's folder; by default runs/NAME-TIME.", metavar="FOLDER", callback=new_folder
        ),
    ] = None,
    overrides: RecipeSetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prepare everything, try one batch, say what would be trained, and stop.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint in --output.")] = False,
    fold: Annotated[
        int | None, typer.Option("--fold", help="Of a recipe with folds: train only this one, counted from 1.")
    ] = None,
    devices: DevicesOption = None,
    jobs: JobsOption = None,
    engine: EngineOption = "local",
    max_hours: MaxHoursOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the final figures as JSON on stdout.")] = False,
    events: Annotated[
        bool, typer.Option("--events", help="Print what happens as JSON on stdout, an object a line, for programs.")
    ] = False,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Answer the recipe's test file at the end, for the submission.")
    ] = True,
    quiet: QuietOption = False,
) -> None:
    """Train a recipe; evaluate, predict the test file and write the submission.

    A recipe with `stages` is a pipeline: its stages are trained one after the other, then it is predicted as a whole.
    One with `folds` is trained once for each fold, and judged on all out-of-fold answers together. One with `ensemble`
    trains the members that its block `train` describes, and combines them.

    Example: qakit train quickstart --set train.epochs=1 --output runs/first
    """
    from qakit.cli.results import show_dry_run, show_training
    from qakit.cli.terminal.progress import EventLines, TrainingDisplay
    from qakit.distributed import is_first_process
    from qakit.registry import load_registry
    from qakit.workflows.train import plan_training

    if resume and not test:
        raise UsageError("--no-test is for a training that begins; a resumed one has its recipe")
    planned = plan_training(
        recipe,
        output,
        overrides=[*(overrides or ()), *([] if test else ["data.test=null"])],
        resume=resume,
        fold=fold,
        devices=devices,
        jobs=jobs,
        engine=engine,
        max_hours=max_hours,
        registry=load_registry(),
    )
    first = is_first_process()
    quiet = quiet or as_json or events
    display = (EventLines if events and first else TrainingDisplay)(quiet=quiet, silent=not first)
    if dry_run:
        with display:
            summary = planned.dry_run(display)
        show_dry_run(planned, summary, as_json=as_json)
        return
    with stops_told(lambda: display.folder, first=first), display:
        result = planned.train(display)
    if first and not events:
        show_training(result, as_json=as_json, quiet=quiet)
