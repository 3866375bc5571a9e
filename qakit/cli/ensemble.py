"""``qakit ensemble``: one answer from several runs or files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.console import err, plain, print_json, print_warning
from qakit.cli.outputs import new_path
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.ensembling.kept import Source
    from qakit.ensembling.load import EnsemblePlan
    from qakit.inference.output import Submission
    from qakit.protocols import Writer
    from qakit.registry import Registry

_WRITERS = {".csv": "csv", ".json": "squad_json", ".jsonl": "jsonl", ".tsv": "glue"}
"""Writer by the ending of ``--output``."""
_RECIPES = (".yaml", ".yml")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ensemble)


def ensemble(
    members: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, CSV or TSV files (id, answer), JSON files (id -> text); or one ensemble recipe."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The combined answers: .csv, .json, .jsonl or .tsv.", callback=new_path),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            help="Keep the ensemble as a run: candidates, figures, submission. Of a recipe, by default runs/NAME-TIME.",
            callback=new_path,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="An ensembler; `qakit plugins --kind ensemblers`. By default voting."),
    ] = None,
    weights: Annotated[str | None, typer.Option("--weights", "-w", help="One number for each member: 1,2,1.")] = None,
    learn_weights: Annotated[
        bool,
        typer.Option("--learn-weights", help="Weights and temperatures that suit the runs' validation predictions."),
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the method: ties=first (repeatable).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of cross-fitting and bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Combine the answers of several runs or files to the same questions.

    Runs with validation predictions are judged there: the ensemble beside the best member, what each member adds, and
    what learnt weights gain. Also shown: how often each pair of members agrees, and how many answers changed.
    """
    from qakit.cli.ensemble_display import report_of, show
    from qakit.ensembling.combine import combine
    from qakit.ensembling.folder import check_target, write_ensemble
    from qakit.inference.output import sample_submission, write_checked
    from qakit.registry import load_registry

    registry = load_registry()
    if len(members) == 1 and members[0].suffix in _RECIPES:
        plan, folder = _from_recipe(members[0], folder, registry, method, weights, learn_weights, settings)
    else:
        plan = _from_options(members, method or "voting", weights, learn_weights, settings, seed, registry)
    _check_paths(plan.members, output)
    if folder is not None:
        check_target(folder, plan.members)
    made = combine(
        plan,
        registry,
        want_test=output is not None,
        say=lambda text: None if quiet or as_json else err.print(plain(text, "dim")),
    )
    _warn_of_other_columns(made.sources)
    written: list[Submission] = []
    if folder is not None:
        written += [each for each in [write_ensemble(made, folder, registry)] if each is not None]
    if output is not None and made.test is not None:
        sample = None if made.recipe is None else sample_submission(made.recipe)
        written.append(write_checked(output, made.test, _writer(output, made.sources, registry), sample=sample))
    for line in dict.fromkeys(line for each in written for line in each.told()):
        print_warning(line)
    if output is None and folder is None:
        print_warning("nothing is written: --output FILE keeps the answers, --folder FOLDER the whole ensemble")
    report = report_of(made, output, folder)
    if as_json:
        print_json(report)
    else:
        show(report, made)


def _from_recipe(
    path: Path,
    folder: Path | None,
    registry: Registry,
    method: str | None,
    weights: str | None,
    learn_weights: bool,
    settings: list[str] | None,
) -> tuple[EnsemblePlan, Path]:
    from qakit.ensembling.load import is_ensemble, load_ensemble
    from qakit.runs import RUNS

    if method is not None or weights is not None or learn_weights or settings:
        raise UsageError(f"--method, --weights, --learn-weights and --set are what {path} says: change it there")
    if not is_ensemble(path):
        raise UsageError(f"{path} is no ensemble recipe: it has no block `ensemble` with members")
    plan = load_ensemble(path, registry)
    if plan.train is not None:
        raise UsageError(f"{path} has members that are to be trained: qakit train {path}")
    return plan, folder or RUNS / f"{plan.name}-{datetime.now():%Y%m%d-%H%M%S}"


def _from_options(
    members: Sequence[Path],
    method: str,
    weights: str | None,
    learn_weights: bool,
    settings: list[str] | None,
    seed: int,
    registry: Registry,
) -> EnsemblePlan:
    from qakit.cli.component_settings import parse_settings
    from qakit.ensembling.load import EnsemblePlan

    if weights is not None and learn_weights:
        raise UsageError("--weights and --learn-weights contradict each other: give one")
    chosen = parse_settings(settings or [], registry.get("ensemblers", method).component.settings)
    numbers = None if weights is None else tuple(_numbers(weights, len(members)))
    return EnsemblePlan("ensemble", tuple(members), method, chosen, "learn" if learn_weights else numbers, seed)


def _check_paths(members: Sequence[Path], output: Path | None) -> None:
    if len(members) < 2:
        raise UsageError("an ensemble needs at least two members")
    seen = [member.resolve() for member in members]
    twice = next((member for member in members if seen.count(member.resolve()) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is given twice; --weights makes a member count more")
    if output is None:
        return
    if output.suffix.lower() not in _WRITERS:
        raise UsageError(f"--output {output} should end in {', '.join(_WRITERS)}")
    if output.resolve() in seen:
        raise UsageError(f"--output {output} is one of the members; write to another file")


def _numbers(text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights {text!r} should be numbers with commas between them, such as 1,2,1") from None
    if len(numbers) != count:
        raise UsageError(f"--weights has {len(numbers)} numbers for {count} members")
    return numbers


def _warn_of_other_columns(members: Sequence[Source]) -> None:
    named = [(each.path, each.answers.columns) for each in members if each.answers and each.answers.columns]
    for path, columns in named[1:]:
        if columns != named[0][1]:
            here, there = ",".join(columns), ",".join(named[0][1])
            print_warning(f"{path}: the columns are {here}, those of {named[0][0]} {there}")


def _writer(output: Path, members: Sequence[Source], registry: Registry) -> Writer:
    """For a CSV file with the header and line ends of the first member that is one; else as the runs write it."""
    from qakit.ensembling.combine import first_recipe
    from qakit.inference.output import build_writer
    from qakit.protocols import NoRuntime

    name = _WRITERS[output.suffix.lower()]
    settings: dict[str, Any] = {}
    style = next(
        (each.answers for each in members if each.answers and (each.answers.columns or each.answers.headless)), None
    )
    recipe = first_recipe(members)
    if name == "csv" and style is not None:
        settings = {"header": not style.headless, "line_end": style.line_end}
        if style.columns is not None:
            settings |= {"id_column": style.columns[0], "answer_column": style.columns[1]}
    elif style is None and recipe is not None and recipe.writer.name == name:
        return build_writer(recipe, registry)
    writer: Writer = registry.build("writers", name, settings, NoRuntime())
    return writer
