"""``qakit compare``: trained runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json
from qakit.cli.terminal.options import JsonOption
from qakit.outputs import new_path


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Folders of runs, two or more.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A folder for compare.md, compare.json, compare.png; or one page: NAME.html.",
            callback=new_path,
        ),
    ] = None,
    metric_key: Annotated[
        list[str] | None,
        typer.Option(
            "--metric-key",
            metavar="NAME",
            help="A figure of the metric, such as f1 (repeatable); by default all of them.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="The run that the others are compared with; else the first.")
    ] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Compare every pair, not only with the baseline.")] = False,
    group: Annotated[
        bool,
        typer.Option("--group/--seeds", help="Runs that differ only in their seed: as one group, or each for itself."),
    ] = True,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Resamples of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare runs on the validation questions: figures with intervals, and which differences can be told apart.

    The runs must have answered the same questions and have the same metric. Differences are paired by question; where
    the 95% interval holds 0, the runs are not distinguishable.

    Example: qakit compare runs/linear runs/crf --output comparison
    """
    from qakit.cli.terminal.tables import print_grids
    from qakit.report.compare_table import grids
    from qakit.workflows.compare import compare as compare_runs

    comparison = compare_runs(
        runs,
        figures=metric_key or (),
        baseline=baseline,
        all_pairs=pairs,
        by_seed=group,
        resamples=resamples,
        seed=seed,
        output=output,
    )
    if as_json:
        print_json(comparison.as_json())
        return
    print_grids(grids(comparison), comparison.notes)
    plan = comparison.plan
    out.print(
        plain(
            f"{comparison.questions:,} questions; bootstrap of {plan.resamples:,} resamples, seed {plan.seed}"
            + (f"; tables and curves in {output}" if output is not None else "")
        )
    )
