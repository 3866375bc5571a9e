"""``qakit ladder``: a chain of recipes, and what each step bought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_error, print_json
from qakit.cli.terminal.options import DevicesOption, EngineOption, JobsOption, JsonOption, MaxHoursOption, QuietOption
from qakit.outputs import check_reports, folder_to_fill


def ladder(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPES", help="Recipe files, the simplest first.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The ladder's folder: a run for each recipe, and the report.",
            metavar="FOLDER",
            callback=folder_to_fill,
        ),
    ] = Path("runs/ladder"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value in every recipe.")
    ] = None,
    devices: DevicesOption = None,
    jobs: JobsOption = None,
    engine: EngineOption = "local",
    max_hours: MaxHoursOption = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Resamples of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")] = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a chain of recipes and say what each step bought over the one before.

    What is trained already is not trained again, and an interrupted training is resumed: give the same command
    again. A recipe that fails is shown with its error; the others continue. Recipes may have folds, stages or members.

    Example: qakit ladder recipes/simple.yaml recipes/medium.yaml --output ladder
    """
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.cli.terminal.stops import stops_told
    from qakit.cli.terminal.tables import print_grids
    from qakit.distributed import is_first_process
    from qakit.registry import load_registry
    from qakit.report.ladder import grids, ladder_of, method, write_ladder
    from qakit.statistics import Sampling
    from qakit.workflows.ladder import Climb, rungs_of
    from qakit.workflows.launching import deadline_in, executing

    check_reports(output / "ladder.md", output / "ladder.html")
    deadline = deadline_in(max_hours)
    registry, rungs = load_registry(), rungs_of(recipes, output)
    display = TrainingDisplay(quiet=quiet or as_json, silent=not is_first_process())
    with (
        stops_told(lambda: output, first=is_first_process(), go_on="give the same command again to continue"),
        display,
        executing(devices, jobs, registry, display, engine=engine, deadline=deadline) as place,
    ):
        rungs = Climb.of(rungs, output, registry, overrides or [], place).run()
    if not is_first_process():
        return
    for rung in rungs:
        if rung.error is not None:
            print_error(f"{rung.name}: {rung.error}")
    found = ladder_of(rungs, registry, Sampling(resamples, seed))
    write_ladder(found, output)
    if as_json:
        print_json(found.as_json())
    else:
        print_grids(grids(found), found.notes)
        out.print(plain(f"{method(found)} Report: {output / 'ladder.html'}"))
    if any(rung.error is not None for rung in rungs):
        raise typer.Exit(1)
