"""``qakit evaluate``: a run's figures on a labelled file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.console import out, plain, print_json
from qakit.cli.trained_runs import JsonOption, NbestOption, RunArgument, bar, check_targets, load_run, read_examples
from qakit.errors import DataError, UsageError

if TYPE_CHECKING:
    from qakit.inference.trained import TrainedRun


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    run: RunArgument,
    source: Annotated[
        Path, typer.Option("--input", "-i", help="A labelled file in the format of the recipe's reader.")
    ],
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            help='Answer "" where the no-answer score exceeds the best span\'s by more than this, instead of the '
            "run's own threshold.",
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option("--curve", metavar="FILE.png", help="Draw the figures at every no-answer threshold."),
    ] = None,
    nbest: NbestOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a run on a labelled file, with the threshold and temperature tuned in training."""
    from qakit.cli.results import show_evaluation
    from qakit.data.cache import default_cache
    from qakit.inference.nbest_file import write_nbest
    from qakit.report.evaluation import report_of
    from qakit.report.threshold_curve import draw_threshold_curve

    check_targets(source, nbest, curve)
    trained = load_run(run)
    _check_options(trained, threshold, curve)
    if threshold is not None:
        trained = replace(trained, null_threshold=threshold)
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
    report = report_of(evaluation, split.examples, trained.judge, given=threshold is not None)
    if nbest is not None:
        write_nbest(nbest, evaluation.predictions)
    if curve is not None and report.choices is not None:
        draw_threshold_curve(
            report.choices, curve, used=trained.null_threshold, title=f"{trained.run.name}, {source.name}"
        )
    if as_json:
        print_json(report.as_json())
        return
    show_evaluation(report)
    if curve is not None:
        out.print(plain(f"curve: {curve}"))


def _check_options(trained: TrainedRun, threshold: float | None, curve: Path | None) -> None:
    """Before the long work: whether the run can do what is asked."""
    from qakit.protocols import PerExampleMetric

    for option, value in (("--threshold", threshold), ("--curve", curve)):
        if value is not None and not trained.recipe.predict.no_answer:
            raise UsageError(
                f"{option} is for runs whose questions may have no answer; this one answers every question: it was "
                "trained without `predict.no_answer: true`"
            )
    if threshold is not None and not math.isfinite(threshold):
        raise UsageError(f"--threshold is {threshold}; it must be a finite number, such as -1e9 or 1e9")
    if curve is not None and curve.suffix.lower() != ".png":
        raise UsageError(f"--curve {curve} must end in .png")
    if curve is not None and not isinstance(trained.judge.metric, PerExampleMetric):
        raise UsageError(
            f"--curve needs figures for each question, which the metric {trained.recipe.metric.name!r} does not give"
        )
