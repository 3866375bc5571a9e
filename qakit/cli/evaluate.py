"""``qakit evaluate``: a run's figures on a labelled file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.console import out, print_json
from qakit.cli.trained_runs import JsonOption, NbestOption, RunArgument, bar, check_targets, load_run, read_examples
from qakit.errors import DataError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    run: RunArgument,
    source: Annotated[
        Path, typer.Option("--input", "-i", help="A labelled file in the format of the recipe's reader.")
    ],
    nbest: NbestOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a run on a labelled file, with the threshold tuned in training."""
    from qakit.cli.results import figures_table
    from qakit.data.cache import default_cache
    from qakit.inference.nbest_file import write_nbest

    check_targets(source, nbest)
    trained = load_run(run)
    split = read_examples(trained, source)
    unlabelled = [example.id for example in split.examples if example.answers is None and example.label is None]
    if unlabelled:
        raise DataError(
            f"{len(unlabelled)} of {len(split.examples)} questions have no answers to compare with "
            f"(the first: {unlabelled[0]}); use `qakit predict` for unlabelled files",
            path=source,
        )
    with bar("evaluating") as progress:
        evaluation = trained.evaluate(split.examples, cache=default_cache(), progress=progress)
    if nbest is not None:
        write_nbest(nbest, evaluation.predictions)
    if as_json:
        print_json(evaluation.figures)
    else:
        out.print(figures_table(evaluation.figures))
