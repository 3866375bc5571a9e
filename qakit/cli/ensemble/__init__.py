"""``qakit ensemble``: one answer from several runs or files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import print_json, print_warning
from qakit.cli.terminal.options import JsonOption, QuietOption
from qakit.errors import UsageError
from qakit.outputs import new_folder, new_path


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
            metavar="FOLDER",
            callback=new_folder,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", "-m", metavar="NAME", help="An ensembler; `qakit plugins --kind ensemblers`. By default voting."
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option("--weights", "-w", help="One number for each member: 1,2,1.")] = None,
    learn_weights: Annotated[
        bool,
        typer.Option("--learn-weights", help="Weights and temperatures that suit the runs' validation predictions."),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--method-set", metavar="KEY=VALUE", help="A setting of the method: ties=first (repeatable)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of cross-fitting and bootstrap.")] = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Combine the answers of several runs or files to the same questions.

    Runs with validation predictions are judged there: the ensemble beside the best member, what each member adds, and
    what learnt weights gain. Also shown: how often each pair of members agrees, and how many answers changed.

    Example: qakit ensemble runs/a runs/b --learn-weights --folder runs/both
    """
    from qakit.cli.ensemble.display import report_of, show
    from qakit.cli.terminal.component_settings import parse_settings
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.registry import load_registry
    from qakit.workflows.ensemble import combine_members, combine_recipe, is_recipe

    with TrainingDisplay(quiet=quiet or as_json) as display:
        if is_recipe(members):
            if method is not None or weights is not None or learn_weights or settings or seed:
                raise UsageError(
                    f"--method, --method-set, --weights, --learn-weights, --seed are what {members[0]} says: "
                    "change it there"
                )
            result = combine_recipe(members[0], output=output, folder=folder, listener=display)
        else:
            if weights is not None and learn_weights:
                raise UsageError("--weights and --learn-weights contradict each other: give one")
            name = method or "voting"
            model = load_registry().get("ensemblers", name).component.settings
            result = combine_members(
                members,
                method=name,
                settings=parse_settings(settings or [], model, option="--method-set"),
                weights="learn" if learn_weights else None if weights is None else _numbers(weights, len(members)),
                seed=seed,
                output=output,
                folder=folder,
                listener=display,
            )
    if output is None and result.folder is None:
        print_warning("nothing is written: --output FILE keeps the answers, --folder FOLDER the whole ensemble")
    report = report_of(result.ensemble, output, result.folder)
    if as_json:
        print_json(report)
    else:
        show(report, result.ensemble)


def _numbers(text: str, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--weights {text!r} should be numbers with commas between them, such as 1,2,1") from None
    if len(numbers) != count:
        raise UsageError(f"--weights has {len(numbers)} numbers for {count} members")
    return numbers
