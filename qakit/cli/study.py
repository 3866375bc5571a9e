"""``qakit study``: many trainings that differ in chosen values."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.terminal.console import err, out, plain, print_error, print_json, print_text
from qakit.cli.terminal.groups import Commands
from qakit.cli.terminal.options import DevicesOption, EngineOption, JobsOption, JsonOption, MaxHoursOption, QuietOption
from qakit.names import one_line, quoted
from qakit.outputs import check_reports, new_folder, new_path

if TYPE_CHECKING:
    from qakit.study.folder import StudyFolder
    from qakit.study.load import LoadedStudy
    from qakit.study.plan import PlannedTrial
    from qakit.study.trials import TrialRecord

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder or file.")]


class RunByDefault(Commands):
    """``qakit study peft.yaml`` is ``qakit study run peft.yaml``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names, else ``run``."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="study",
    cls=RunByDefault,
    help="Many trainings that differ in chosen values, and their report.",
    no_args_is_help=True,
)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A study file (*.yaml).")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The study's folder; by default studies/NAME.", metavar="FOLDER", callback=new_folder
        ),
    ] = None,
    devices: DevicesOption = None,
    jobs: JobsOption = None,
    engine: EngineOption = "local",
    max_hours: MaxHoursOption = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Train failed trials once more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and list the trials, and stop.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train all trials of a study that are not trained yet; continue where it was interrupted.

    Several of these commands may run at once, on one machine or, with a common storage, on several.

    Example: qakit study run recipes/studies/peft.yaml --jobs 2
    """
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.distributed import is_first_process
    from qakit.recipe.found import found_recipe
    from qakit.registry import load_registry
    from qakit.study.load import load_study
    from qakit.training.interrupts import InterruptedTrainingError
    from qakit.workflows.launching import deadline_in, executing
    from qakit.workflows.study import StudyExecution, plan_study, study_folder

    registry, deadline = load_registry(), deadline_in(max_hours)
    loaded = load_study(found_recipe(study))
    planned = plan_study(loaded, registry, check_files=not dry_run)
    if dry_run:
        _show_plan(loaded, planned, as_json=as_json)
        return
    folder, first = study_folder(loaded, output), is_first_process()
    if first:
        folder.begin(loaded, ["qakit", *sys.argv[1:]])
    display = TrainingDisplay(quiet=quiet or as_json, silent=not first)
    place_of = executing(devices, jobs, registry, display, engine=engine, apart=True, deadline=deadline)
    with display, place_of as place:
        try:
            records = StudyExecution(loaded, planned, folder, registry, place, retry_failed=retry_failed).run()
        except (InterruptedTrainingError, KeyboardInterrupt) as error:
            print_error(f"interrupted; resume with: {_again(study, output)}")
            raise typer.Exit(error.exit_code if isinstance(error, InterruptedTrainingError) else 130) from None
    if not first:
        return
    if as_json:
        print_json(
            {"study": loaded.name, "folder": str(folder.path), "trials": [_row(each, folder) for each in records]}
        )
    else:
        _show_records(records, folder)
    _end(records, study, output)


@app.command()
def report(
    study: StudyArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The folder for the report; by default the study's.", callback=new_path),
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Resamples of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a study's REPORT.md and report.html: tables, differences, curves and costs of its variants.

    Example: qakit study report studies/peft
    """
    from qakit.cli.terminal.tables import print_grids
    from qakit.graph.expand import load
    from qakit.registry import load_registry
    from qakit.report.study_page import counts_text, summary_grids, write_report
    from qakit.statistics import Sampling
    from qakit.study.folder import find_study
    from qakit.study.results import read_results

    folder, loaded = find_study(study)
    target = output or folder.path
    check_reports(target / "REPORT.md", target / "report.html")
    registry = load_registry()
    sampling = Sampling(resamples, seed)
    results = read_results(folder, loaded, registry, partial(load, registry=registry), sampling)
    files = write_report(results, target)
    if as_json:
        print_json({**results.as_json(), "files": [str(file) for file in files]})
        return
    print_grids(summary_grids(results), results.notes)
    out.print(plain(f"trials: {counts_text(results)}"))
    out.print(plain(f"report: {files[0]}, {files[1]}"))


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the studies.")] = Path("studies"),
    as_json: JsonOption = False,
) -> None:
    """All studies of a folder and how far they are.

    Example: qakit study list studies
    """
    from qakit.cli.terminal.tables import print_table
    from qakit.study.folder import list_studies

    rows = [_study_row(each) for each in list_studies(folder)]
    if as_json:
        print_json(rows)
    elif not rows:
        out.print(plain(f"no studies in {folder}; `qakit study run STUDY.yaml` makes one"))
    else:
        columns = ("study", "trials", "finished", "failed", "running", "waiting", "description")
        print_table(None, columns, [[row[column] for column in columns] for row in rows], numbers=columns[1:-1])


@app.command()
def show(study: StudyArgument, as_json: JsonOption = False) -> None:
    """One study: its trials, their states and figures.

    Example: qakit study show studies/peft
    """
    from qakit.study.folder import find_study

    folder, loaded = find_study(study)
    records = _records(folder, loaded)
    if as_json:
        print_json({"study": folder.about()["name"], "trials": [_row(each, folder) for each in records]})
    else:
        _show_records(records, folder)


@app.command(hidden=True)
def reference(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout.", callback=new_path)
    ] = None,
) -> None:
    """Write the study reference (Markdown), generated from the models."""
    from qakit.files import write_text
    from qakit.study.reference import study_reference

    if output is None:
        print_text(study_reference())
    else:
        write_text(output, study_reference())


def _show_plan(loaded: LoadedStudy, planned: Sequence[PlannedTrial[Any]], *, as_json: bool) -> None:
    """The trials and what differs between them."""
    from qakit.cli.terminal.tables import print_table
    from qakit.recipe.dump import yaml_flow

    search = loaded.study.search
    rows = [
        {"trial": each.label, "task": each.task, "row": each.row, "seed": each.seed, "values": dict(each.values)}
        for each in planned
    ]
    if as_json:
        space = None if search is None else search.model_dump(mode="json", exclude_none=True)
        print_json({"study": loaded.name, "trials": rows, "search": space})
        return
    if search is not None:
        places = {key: place.model_dump(mode="json", exclude_none=True) for key, place in search.space.items()}
        title = f"{search.trials} trials by {search.sampler}"
        print_table(title, ("recipe value", "where to look"), [(key, yaml_flow(at)) for key, at in places.items()])
        return
    values = [", ".join(f"{key}: {value}" for key, value in each.values.items()) for each in planned]
    cells = [(each.label, text or "as in the recipe", each.seed) for each, text in zip(planned, values, strict=True)]
    print_table(f"{len(planned)} trials", ("trial", "recipe values", "seed"), cells, numbers=("seed",))


def _records(folder: StudyFolder, loaded: LoadedStudy | None) -> list[TrialRecord]:
    from qakit.graph.expand import load
    from qakit.registry import load_registry
    from qakit.study.results import read_records

    registry = load_registry()
    return read_records(folder, loaded, registry, partial(load, registry=registry))


def _show_records(records: Sequence[TrialRecord], folder: StudyFolder) -> None:
    from qakit.cli.terminal.tables import number, print_table

    numbers, styles = ("value", "seconds", "trainable"), {"failed": "red", "running": "cyan"}
    rows = [
        (
            record.trial.run,
            plain(record.state, styles.get(record.state, "")),
            *map(number, (record.value, record.result.get("seconds"), record.result.get("trainable"))),
        )
        for record in records
    ]
    print_table(str(folder.path), ("run", "state", *numbers), rows, numbers=numbers)
    for record in records:
        if record.state == "failed":
            out.print(plain(f"{record.trial.run} failed: {one_line(record.error)}", "red"))


def _end(records: Sequence[TrialRecord], study: Path, output: Path | None) -> None:
    """Say how to continue; the exit code is 1 if a trial failed."""
    again = _again(study, output)
    failed = sum(record.state == "failed" for record in records)
    if failed:
        trials = "1 trial" if failed == 1 else f"{failed} trials"
        print_error(f"{trials} of {len(records)} failed; see train.log in their folders; retry: {again} --retry-failed")
        raise typer.Exit(1)
    if left := sum(record.state in ("waiting", "interrupted") for record in records):
        err.print(plain(f"not trained yet: {left} of {len(records)} trials; resume with: {again}"))
    err.print(plain(f"done; compare with: qakit study report {quoted(output or study)}"))


def _again(study: Path, output: Path | None) -> str:
    place = "" if output is None else f" --output {quoted(output)}"
    return f"qakit study run {quoted(study)}{place}"


def _row(record: TrialRecord, folder: StudyFolder) -> dict[str, Any]:
    return {
        "run": str(folder.runs / record.trial.run),
        "state": record.state,
        "task": record.trial.task,
        "row": record.trial.row,
        "seed": record.trial.seed,
        "values": dict(record.trial.values),
        "value": record.value,
        "error": record.error,
        **{key: record.result.get(key) for key in ("figures", "seconds", "peak_memory_mb", "trainable", "total")},
    }


def _study_row(folder: StudyFolder) -> Mapping[str, Any]:
    """A study's counts, or what is wrong with it: one broken study must not hide the others."""
    from qakit.errors import QakitError
    from qakit.study.folder import find_study

    try:
        about = folder.about()
        records = _records(folder, find_study(folder.path)[1])
    except QakitError as error:
        empty = dict.fromkeys(("trials", "finished", "failed", "running", "waiting"), 0)
        return {"study": folder.path.name, **empty, "description": f"damaged: {one_line(error)}"}
    states = [record.state for record in records]
    return {
        "study": folder.path.name,
        "trials": len(records),
        "finished": states.count("finished") + states.count("pruned"),
        **{state: states.count(state) for state in ("failed", "running")},
        "waiting": states.count("waiting") + states.count("interrupted"),
        "description": str(about.get("description", "")),
    }
